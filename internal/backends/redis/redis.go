// Package redisbackend stands in for Redis: miniredis answers what clients send first, and the one slow command is BLPOP. It
// refuses every command that would store something or run a script, and so its lists are empty for ever.
//
// A run's tag stands in the key of BLPOP or in the text of ECHO: "gotimeout run=ID". A BLPOP stops when its client leaves, as
// that of Redis does; miniredis's own goes on.
package redisbackend

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"

	"gotimeout/internal/backends"
)

// The limits of one command.
const (
	maxArgs  = 64
	maxBytes = 64 << 10
)

// commands are those that miniredis answers.
var commands = []string{"HELLO", "AUTH", "SELECT", "CLIENT", "PING", "ECHO", "GET", "EXISTS", "INFO", "COMMAND", "QUIT"}

// Start starts a Redis without a password. BLPOP takes the time of its timeout, and answers nil.
func Start(o backends.Options) (*backends.Server, error) {
	s, err := backends.Listen("redis", o)
	if err != nil {
		return nil, err
	}
	mini := miniredis.NewMiniRedis()
	first, err := mini.Dial() // starts it without a listener
	if err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("start backend redis: %w", err)
	}
	_ = first.Close()
	r := &redis{server: s, mini: mini.Server(), longest: o.MaxDelay, clients: map[int64]entry{}}
	s.ServeEach(r.serve)
	return s, nil
}

type redis struct {
	server  *backends.Server
	mini    *server.Server
	longest time.Duration

	mu      sync.Mutex
	last    int64
	clients map[int64]entry // of CLIENT LIST, by their IDs
}

// entry is a client's entry in CLIENT LIST.
type entry struct{ name, flags string }

// enter writes the entry of a client, whose flag is b while it waits.
func (r *redis) enter(id int64, peer *server.Peer, flags string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients[id] = entry{peer.ClientName, flags}
}

// list returns the CLIENT LIST: miniredis has none.
func (r *redis) list() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := ""
	for _, id := range slices.Sorted(maps.Keys(r.clients)) {
		text += fmt.Sprintf("id=%d name=%s flags=%s\n", id, r.clients[id].name, r.clients[id].flags)
	}
	return text
}

// serve answers one command after the other until the client quits, leaves, or sends what is no command.
func (r *redis) serve(nc net.Conn) {
	client := backends.NewClient(nc)
	peer := server.NewPeer(bufio.NewWriter(nc))
	r.mu.Lock()
	r.last++
	id := r.last
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.clients, id)
	}()
	for !peer.Closed() {
		r.enter(id, peer, "N")
		args, err := readCommand(client.Reader)
		if err == nil {
			err = r.do(id, client, peer, args)
		} else if errors.Is(err, errProtocol) {
			peer.WriteError("ERR " + err.Error())
		}
		peer.Flush()
		if err != nil {
			return
		}
	}
}

// do carries out one command. An error means that the client has left.
func (r *redis) do(id int64, client *backends.Client, peer *server.Peer, args []string) error {
	name := strings.ToUpper(args[0])
	switch {
	case name == "BLPOP" && len(args) > 2:
		r.enter(id, peer, "b")
		return r.blpop(client, peer, args)
	case name == "CLIENT" && len(args) == 2 && strings.ToUpper(args[1]) == "LIST":
		peer.WriteBulk(r.list())
		return nil
	case name == "ECHO" && len(args) == 2:
		r.server.Begin(backends.RunTag(args[1]), "ECHO")()
	case !slices.Contains(commands, name):
		peer.WriteError(fmt.Sprintf("ERR the embedded Redis doesn't have %.40q: it has BLPOP, %s", args[0], strings.Join(commands, ", ")))
		return nil
	}
	r.mini.Dispatch(peer, args)
	return nil
}

// blpop waits for the timeout, or until the client has left.
func (r *redis) blpop(client *backends.Client, peer *server.Peer, args []string) error {
	delay, err := backends.ParseDelay(args[len(args)-1], r.longest)
	switch {
	case err != nil:
		peer.WriteError("ERR " + err.Error())
		return nil
	case delay == 0:
		peer.WriteError("ERR a timeout of 0 is for ever: write seconds")
		return nil
	}
	end := r.server.Begin(backends.RunTag(args[1]), fmt.Sprintf("BLPOP %s", delay))
	err = client.Stay(r.server.Context(), time.Now().Add(delay))
	end()
	if err == nil {
		peer.WriteLen(-1)
	}
	return err
}

// errProtocol is matched by the error of bytes that are no command.
//
//lint:ignore ST1005 the client is sent these words, which are Redis's
var errProtocol = errors.New("Protocol error")

// readCommand reads an array of strings, which is how clients send a command. miniredis has no limits, and panics at an
// empty array.
func readCommand(from *bufio.Reader) (args []string, err error) {
	n, err := readLength(from, '*', maxArgs)
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: an empty command", errProtocol)
	}
	for left := maxBytes; err == nil && len(args) < n; {
		var size int
		if size, err = readLength(from, '$', left); err != nil {
			break
		}
		text := make([]byte, size+2)
		if _, err = io.ReadFull(from, text); err == nil {
			args, left = append(args, string(text[:size])), left-size
		}
	}
	return args, err
}

// readLength reads a line such as "*3", of a number up to most.
func readLength(from *bufio.Reader, kind byte, most int) (int, error) {
	line, err := from.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	text := strings.TrimRight(string(line), "\r\n")
	if text == "" || text[0] != kind {
		return 0, fmt.Errorf("%w: expected '%c'", errProtocol, kind)
	}
	n, err := strconv.ParseUint(text[1:], 10, 31)
	if err != nil || n > uint64(most) {
		return 0, fmt.Errorf("%w: the length after '%c' is no number up to %d", errProtocol, kind, most)
	}
	return int(n), nil
}
