// Package cachebackend stands in for memcached: it speaks the part of the text protocol that clients send, and its slow keys
// take time. It refuses the commands of an operator (stats, verbosity, a flush at a later time), and to keep more than 64 MiB.
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
	"slices"
	"strconv"
	"strings"
	"time"

	"gotimeout/internal/backends"
)

// The limits of the cache. memcached's own limits are 250 bytes for a key and 1 MiB for an item; there the item's header
// counts too, here the value may fill the whole MiB.
const (
	maxKey   = 250
	maxValue = 1 << 20
	maxLine  = 64 << 10 // room for a get of some 250 of the longest keys
	maxStore = 64 << 20 // memcached's own default
)

// cacheVersion begins with the version of memcached whose answers ours are compared with.
const cacheVersion = "1.6.18-gotimeout"

// Start starts a cache that speaks memcached's text protocol. A get, or gets, of the key "delay/300ms" or
// "delay/300ms/RUN" answers after that time with a value equal to the key, and stops when the client leaves.
func Start(o backends.Options) (*backends.Server, error) {
	s, err := backends.Listen("cache", o)
	if err != nil {
		return nil, err
	}
	c := &cache{server: s, store: newStore(maxStore), longest: o.MaxDelay}
	s.ServeEach(c.serve)
	return s, nil
}

type cache struct {
	server  *backends.Server
	store   *store
	longest time.Duration
}

// connection is one client's connection to the cache.
type connection struct {
	*cache
	client *backends.Client
	w      *bufio.Writer
}

// Both end a connection; errLongLine is answered first.
var (
	errQuit     = errors.New("quit")
	errLongLine = errors.New("line too long")
)

// serve answers one request after the other until the client quits, leaves or sends a line that is too long.
func (c *cache) serve(nc net.Conn) {
	conn := &connection{cache: c, client: backends.NewClient(nc), w: bufio.NewWriter(nc)}
	for {
		line, err := conn.readLine()
		if errors.Is(err, errLongLine) {
			conn.answer("CLIENT_ERROR line too long")
			conn.w.Flush()
		}
		if err != nil || conn.do(line) != nil || conn.w.Flush() != nil {
			return
		}
	}
}

// answer writes one line, unless it is empty. The writer keeps an error for Flush to return.
func (c *connection) answer(line string) {
	if line != "" {
		c.w.WriteString(line + "\r\n")
	}
}

// readLine reads up to \n and returns the line without the \n, and without a \r before it.
func (c *connection) readLine() (string, error) {
	var line []byte
	for {
		part, err := c.client.Reader.ReadSlice('\n')
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

// do carries out one request. An error means that the connection is to be closed; a mistake of the client is an answer.
func (c *connection) do(line string) (err error) {
	r, answer := parse(line)
	if answer == "" && r.stores() {
		r.value, answer, err = c.readValue(r.size)
		if answer == errTooLarge {
			c.store.change(request{command: "delete", keys: r.keys}) // a client that failed to replace a value must not read the old one
		}
	}
	if answer == "" && err == nil {
		answer, err = c.run(r)
	}
	if !r.noreply { // memcached suppresses errors too
		c.answer(answer)
	}
	return err
}

// readValue reads a value of the given size and the \r\n behind it. It takes that many bytes from the connection
// whatever they are, as memcached does; a longer value is read over and not kept.
func (c *connection) readValue(size uint64) (value []byte, refusal string, err error) {
	if size > maxValue {
		_, err := io.CopyN(io.Discard, c.client.Reader, int64(size)+2)
		return nil, errTooLarge, err
	}
	value = make([]byte, size+2)
	if _, err := io.ReadFull(c.client.Reader, value); err != nil {
		return nil, "", err
	}
	if !bytes.HasSuffix(value, []byte("\r\n")) {
		return nil, "CLIENT_ERROR bad data chunk", nil
	}
	return value[:size:size], "", nil
}

// run carries out a request and returns the line that is still to be written.
func (c *connection) run(r request) (answer string, err error) {
	switch r.command {
	case "get", "gets", "gat", "gats":
		return c.get(r)
	case "flush_all":
		c.store.flush()
		return "OK", nil
	case "version":
		return "VERSION " + cacheVersion, nil
	case "quit":
		return "", errQuit
	}
	answer, _ = c.store.change(r)
	return answer, nil
}

// get answers a retrieval. A bad slow key refuses the whole request before anything is written or waited for, and so do
// slow keys that together ask for too much.
func (c *connection) get(r request) (answer string, err error) {
	var total time.Duration
	for _, key := range r.keys {
		delay, _, _, err := c.slowKey(key)
		if err != nil {
			return "CLIENT_ERROR " + err.Error(), nil
		}
		if total += delay; total > c.longest {
			return fmt.Sprintf("CLIENT_ERROR the keys' durations add up to over the cap of %s", c.longest), nil
		}
	}
	for _, key := range r.keys {
		var it item
		if delay, run, slow, _ := c.slowKey(key); slow {
			it = item{key: key, value: []byte(key)}
			if err := c.work(r.command, delay, run); err != nil {
				return "", err
			}
		} else if _, it = c.store.change(request{command: r.command, keys: []string{key}, expires: r.expires}); it.key == "" {
			continue
		}
		fmt.Fprintf(c.w, "VALUE %s %d %d", it.key, it.flags, len(it.value))
		if strings.HasSuffix(r.command, "s") {
			fmt.Fprintf(c.w, " %d", it.cas)
		}
		c.answer("\r\n" + string(it.value))
	}
	return "END", nil
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
func (c *connection) work(command string, delay time.Duration, run string) error {
	end := c.server.Begin(run, fmt.Sprintf("%s delay/%s", command, delay))
	defer end()
	return c.client.Stay(c.server.Context(), time.Now().Add(delay))
}

// request is one line of the protocol, taken apart.
type request struct {
	command       string
	keys          []string
	flags         uint64
	expires       time.Time // zero is never
	size          uint64    // of the value that follows
	unique, delta uint64
	noreply       bool
	value         []byte
}

func (r request) stores() bool { return strings.HasPrefix(syntax[r.command].words, storage) }

// Answers to a request that is refused, as memcached 1.6 words them.
const (
	errUnknown  = "ERROR"
	errFormat   = "CLIENT_ERROR bad command line format"
	errExpires  = "CLIENT_ERROR invalid exptime argument"
	errDelta    = "CLIENT_ERROR invalid numeric delta argument"
	errTooLarge = "SERVER_ERROR object too large for cache"
)

const storage = "key flags exptime size"

// syntax has, for each command, the words that follow its name, and the answer to a bad number among them. gomemcache sends these
// commands but for get, gats and quit; other clients send noreply too.
var syntax = map[string]struct{ words, badNumber string }{
	"get": {"keys", ""}, "gets": {"keys", ""}, "gat": {"exptime keys", errExpires}, "gats": {"exptime keys", errExpires},
	"set": {storage, errFormat}, "add": {storage, errFormat}, "replace": {storage, errFormat},
	"append": {storage, errFormat}, "prepend": {storage, errFormat}, "cas": {storage + " unique", errFormat},
	"delete": {"key", ""}, "touch": {"key exptime", errExpires}, "incr": {"key delta", errDelta}, "decr": {"key delta", errDelta},
	"flush_all": {}, "version": {}, "quit": {},
}

// parse reads a command line, and returns memcached's own answer to a line that it refuses. Tests compare the answers with those
// of a real memcached.
func parse(line string) (r request, refusal string) {
	words := strings.FieldsFunc(line, func(char rune) bool { return char == ' ' })
	if len(words) == 0 {
		return r, errUnknown
	}
	r.command, words = words[0], words[1:]
	form, known := syntax[r.command]
	fields := strings.Fields(form.words)
	several := slices.Contains(fields, "keys")
	r.noreply = !several && len(words) > 0 && words[len(words)-1] == "noreply"
	switch extra := len(words) - len(fields); {
	case !known, several && len(words) == 0: // memcached takes a gat without a key
		return request{}, errUnknown
	case !several && (extra < 0 || extra > 1 || extra == 1 && !r.noreply):
		return request{}, errUnknown
	}
	for i, field := range fields {
		if !r.set(field, words[i:]) && refusal == "" {
			refusal = form.badNumber
		}
	}
	if r.size > 1<<31-3 || slices.ContainsFunc(r.keys, func(key string) bool { return len(key) > maxKey }) {
		refusal = errFormat
	}
	return r, refusal
}

// set reads a field from the words that begin with it. It returns false where the field is not the number that it should be.
func (r *request) set(field string, words []string) bool {
	var err error
	switch field {
	case "keys":
		r.keys = words
	case "key":
		r.keys = words[:1]
	case "flags":
		r.flags, err = strconv.ParseUint(words[0], 10, 32)
	case "size":
		r.size, err = strconv.ParseUint(words[0], 10, 32)
	case "unique":
		r.unique, err = strconv.ParseUint(words[0], 10, 64)
	case "delta":
		r.delta, err = strconv.ParseUint(words[0], 10, 64)
	case "exptime":
		var sent int64
		sent, err = strconv.ParseInt(words[0], 10, 64)
		r.expires = deadline(sent)
	}
	return err == nil
}

// deadline turns an expiry as the protocol sends it into a time: 0 is never and gives the zero time, a negative expiry is past,
// up to 30 days is relative, and any other is a Unix time.
func deadline(sent int64) time.Time {
	const month = 60 * 60 * 24 * 30
	switch {
	case sent == 0:
		return time.Time{}
	case sent < 0:
		return time.Unix(0, 0)
	case sent <= month:
		return time.Now().Add(time.Duration(sent) * time.Second)
	}
	return time.Unix(sent, 0)
}
