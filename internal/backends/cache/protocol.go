package cachebackend

import (
	"slices"
	"strconv"
	"strings"
)

// request is one line of the protocol, taken apart.
type request struct {
	command string
	key     string
	keys    []string // of get, gets, gat and gats
	flags   uint32
	expires int64 // as sent: 0 never, negative already, up to 30 days relative, beyond that a Unix time
	size    int   // of the value that follows
	cas     uint64
	delta   uint64
	noreply bool
	data    []byte
}

func (r request) carriesData() bool {
	switch r.command {
	case "set", "add", "replace", "append", "prepend", "cas":
		return true
	}
	return false
}

const (
	errUnknown    = "ERROR"
	errFormat     = "CLIENT_ERROR bad command line format"
	errExpires    = "CLIENT_ERROR invalid exptime argument"
	errDelta      = "CLIENT_ERROR invalid numeric delta argument"
	errDeleteArgs = errFormat + ".  Usage: delete <key> [noreply]"
)

// parseRequest reads a command line as memcached 1.6 does, its leniencies included, and returns memcached's own
// answer to a line that it refuses. Tests compare the answers with those of a real memcached.
func parseRequest(line string) (r request, refusal string) {
	words := slices.DeleteFunc(strings.Split(line, " "), func(word string) bool { return word == "" })
	if len(words) == 0 {
		return r, errUnknown
	}
	r.command = words[0]
	args := words[1:]
	least, most := argumentCount(r.command)
	if len(args) < least || most >= 0 && len(args) > most {
		return r, errUnknown
	}
	r.noreply = most > 0 && len(args) > 0 && args[len(args)-1] == "noreply"

	switch r.command {
	case "get", "gets":
		r.keys = args
	case "gat", "gats":
		r.keys = args[1:]
		refusal = parseInt(args[0], &r.expires, errExpires)
	case "delete":
		r.key = args[0]
		if len(args) > 1 && args[1] != "0" && !(len(args) == 2 && r.noreply) {
			refusal = errDeleteArgs
		}
	case "touch":
		r.key = args[0]
		refusal = parseInt(args[1], &r.expires, errExpires)
	case "incr", "decr":
		r.key = args[0]
		refusal = parseUint(args[1], &r.delta, errDelta)
	case "flush_all":
		if len(args) > 0 && args[0] != "noreply" {
			refusal = parseInt(args[0], &r.expires, errExpires)
		}
	case "verbosity":
		var level int64
		refusal = parseInt(args[0], &level, errFormat)
	case "set", "add", "replace", "append", "prepend", "cas":
		refusal = r.parseStorage(args)
	}
	if longKey(r.key) || slices.ContainsFunc(r.keys, longKey) {
		refusal = errFormat
	}
	return r, refusal
}

// argumentCount tells how many words may follow a command; most is -1 for any number. An unknown command has no count
// that would do.
func argumentCount(command string) (least, most int) {
	switch command {
	case "get", "gets", "gat", "gats":
		return 1, -1
	case "set", "add", "replace", "append", "prepend":
		return 4, 5
	case "cas":
		return 5, 6
	case "delete":
		return 1, 3
	case "touch", "incr", "decr":
		return 2, 3
	case "flush_all":
		return 0, 2
	case "verbosity":
		return 1, 2
	case "stats":
		return 0, 0
	case "version", "quit":
		return 0, -1
	}
	return 1, 0
}

// parseStorage reads "key flags exptime bytes [unique]".
func (r *request) parseStorage(args []string) (refusal string) {
	r.key = args[0]
	var flags, size int64
	for i, number := range []*int64{&flags, &r.expires, &size} {
		if refusal := parseInt(args[i+1], number, errFormat); refusal != "" {
			return refusal
		}
	}
	if flags < 0 || flags > 1<<32-1 || size < 0 || size > 1<<31-3 {
		return errFormat
	}
	r.flags, r.size = uint32(flags), int(size)
	if r.command == "cas" {
		return parseUint(args[4], &r.cas, errFormat)
	}
	return ""
}

// parseInt reads a number into n, and returns the given refusal where it is none.
func parseInt(text string, n *int64, refusal string) string {
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return refusal
	}
	*n = v
	return ""
}

func parseUint(text string, n *uint64, refusal string) string {
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return refusal
	}
	*n = v
	return ""
}

func longKey(key string) bool { return len(key) > maxKey }
