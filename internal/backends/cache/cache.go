// Package cachebackend stands in for memcached: it speaks the text protocol, and its slow keys take time.
//
// A run's tag is the last segment of the key "delay/300ms/ID". A slow get stops when its client leaves.
package cachebackend

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"gotimeout/internal/backends"
)

// The limits of the embedded cache. memcached's own limits are 250 bytes for a key and 1 MiB for an item; there the item's header
// counts too, here the value may fill the whole MiB.
const (
	maxKey   = 250
	maxValue = 1 << 20
	maxLine  = 64 << 10 // room for a get of some 250 of the longest keys
	maxStore = 64 << 20 // memcached's own default
)

const errTooLarge = "SERVER_ERROR object too large for cache"

// Start starts a cache that speaks memcached's text protocol. A get or gets of the key "delay/300ms" or
// "delay/300ms/RUN" answers after that time with a value equal to the key, and is given up when the client leaves.
func Start(o backends.Options) (*backends.Server, error) {
	s, err := backends.Listen("cache", o)
	if err != nil {
		return nil, err
	}
	c := &cache{server: s, store: newStore(maxStore), longest: o.MaxDelay, started: time.Now()}
	s.ServeEach(c.serve)
	return s, nil
}

type cache struct {
	server  *backends.Server
	store   *store
	longest time.Duration
	started time.Time
}

// cacheConn is one client's connection to the cache.
type cacheConn struct {
	*cache
	client *backends.Client
	w      *bufio.Writer
}

var errQuit = errors.New("quit")

// serve answers one request after the other until the client quits, leaves or sends a line that is too long.
func (c *cache) serve(nc net.Conn) {
	cc := &cacheConn{cache: c, client: backends.NewClient(nc), w: bufio.NewWriter(nc)}
	for {
		line, err := readLine(cc.client.Reader)
		if err != nil {
			if errors.Is(err, errLongLine) {
				cc.answer("CLIENT_ERROR line too long")
				cc.w.Flush()
			}
			return
		}
		if err := cc.do(line); err != nil {
			return
		}
		if err := cc.w.Flush(); err != nil {
			return
		}
	}
}

// answer writes one line, unless it is empty. The writer keeps an error for Flush to return.
func (c *cacheConn) answer(line string) {
	if line != "" {
		c.w.WriteString(line)
		c.w.WriteString("\r\n")
	}
}

// do carries out one request. An error means that the connection is to be closed; what the client did wrong is an answer.
func (c *cacheConn) do(line string) error {
	req, refusal := parseRequest(line)
	if refusal == "" && req.carriesData() {
		data, err := c.readData(req.size)
		switch {
		case errors.Is(err, errTooLong):
			c.store.delete(req.key) // a client that failed to replace a value must not read the old one
			refusal = errTooLarge
		case errors.Is(err, errBadChunk):
			refusal = "CLIENT_ERROR bad data chunk"
		case err != nil:
			return err
		}
		req.data = data
	}
	if refusal == "" {
		var err error
		if refusal, err = c.run(req); err != nil {
			return err
		}
	}
	if !req.noreply { // memcached suppresses errors too
		c.answer(refusal)
	}
	return nil
}

var (
	errLongLine = errors.New("line too long")
	errTooLong  = errors.New("value too long")
	errBadChunk = errors.New("bad data chunk")
)

// readLine reads up to \n and returns the line without it and a \r before it.
func readLine(r *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return "", errLongLine
		case err == nil:
			return string(bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		}
	}
}

// readData reads a value of the given size and the \r\n behind it. It takes that many bytes from the connection
// whatever they are, as memcached does; a longer value is read over and not kept.
func (c *cacheConn) readData(size int) ([]byte, error) {
	if size > maxValue {
		if _, err := io.CopyN(io.Discard, c.client.Reader, int64(size)+2); err != nil {
			return nil, err
		}
		return nil, errTooLong
	}
	data := make([]byte, size+2)
	if _, err := io.ReadFull(c.client.Reader, data); err != nil {
		return nil, err
	}
	if !bytes.HasSuffix(data, []byte("\r\n")) {
		return nil, errBadChunk
	}
	return data[:size:size], nil
}

// slowKey takes "delay/300ms/RUN" apart. ok is false for any other kind of key.
func (c *cache) slowKey(key string) (delay time.Duration, run string, ok bool, err error) {
	rest, ok := strings.CutPrefix(key, "delay/")
	if !ok {
		return 0, "", false, nil
	}
	text, run, _ := strings.Cut(rest, "/")
	delay, err = backends.ParseDelay(text, c.longest)
	return delay, run, true, err
}

// work takes the time that a slow key asks for, and returns early with an error when the client has left.
func (c *cacheConn) work(command string, delay time.Duration, run string) error {
	end := c.server.Begin(run, fmt.Sprintf("%s delay/%s", command, delay))
	defer end()
	return c.client.Stay(c.server.Context(), time.Now().Add(delay))
}
