package cachebackend_test

import (
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/backends"
	"gotimeout/internal/backends/backendtest"
	cachebackend "gotimeout/internal/backends/cache"
)

// exchange has the bytes that a client sends to an empty cache on a new connection, followed by "quit", and
// the bytes that it reads until the connection ends.
type exchange struct{ send, want string }

func exchanges() map[string]exchange {
	const (
		unknown = "ERROR\r\n"
		format  = "CLIENT_ERROR bad command line format\r\n"
		expires = "CLIENT_ERROR invalid exptime argument\r\n"
		chunk   = "CLIENT_ERROR bad data chunk\r\n"
		set     = "set k 5 0 2\r\n10\r\n"
	)
	k250, k251 := strings.Repeat("k", 250), strings.Repeat("k", 251)
	big := strings.Repeat("x", 1<<20+1)
	return map[string]exchange{
		"empty line":           {"\r\n", unknown},
		"unknown":              {"foo\r\n", unknown},
		"upper case":           {"GET a\r\n", unknown},
		"tab":                  {"get\ta\r\n", unknown},
		"bare newline":         {"get a\n", "END\r\n"},
		"many spaces":          {"  get  a  \r\n", "END\r\n"},
		"get":                  {set + "get k a\r\n", "STORED\r\nVALUE k 5 2\r\n10\r\nEND\r\n"},
		"gets":                 {set + "gets k\r\n", "STORED\r\nVALUE k 5 2 CAS\r\n10\r\nEND\r\n"},
		"get none":             {"get\r\n", unknown},
		"get 250":              {"get " + k250 + "\r\n", "END\r\n"},
		"get 251":              {"get " + k251 + "\r\n", format},
		"get 251 second":       {"get k " + k251 + "\r\n", format}, // alone: memcached 1.6.18 drops the answers before it
		"get noreply":          {"get noreply\r\n", "END\r\n"},
		"gat":                  {set + "gat 0 k\r\ngats 0 k\r\n", "STORED\r\nVALUE k 5 2\r\n10\r\nEND\r\nVALUE k 5 2 CAS\r\n10\r\nEND\r\n"},
		"gat expires":          {set + "gat -1 k\r\nget k\r\n", "STORED\r\nVALUE k 5 2\r\n10\r\nEND\r\nEND\r\n"},
		"gat none":             {"gat\r\n", unknown},
		"gat no key":           {"gat 0\r\n", "END\r\n"},
		"gat bad time":         {"gat x a\r\n", expires},
		"set 250":              {"set " + k250 + " 0 0 1\r\na\r\nget " + k250 + "\r\n", "STORED\r\nVALUE " + k250 + " 0 1\r\na\r\nEND\r\n"},
		"set 251":              {"set " + k251 + " 0 0 1\r\na\r\n", format + unknown},
		"set 251 noreply":      {"set " + k251 + " 0 0 1 noreply\r\na\r\n", unknown},
		"set newlines":         {"set k 0 0 4\r\n\r\n\r\n\r\nget k\r\n", "STORED\r\nVALUE k 0 4\r\n\r\n\r\n\r\nEND\r\n"},
		"set nothing":          {"set k 0 0 0\r\n\r\nget k\r\n", "STORED\r\nVALUE k 0 0\r\n\r\nEND\r\n"},
		"set short":            {"set k 0 0 3\r\nab\r\nversion\r\n", chunk + unknown},
		"set long":             {"set k 0 0 3\r\nabcdef\r\n", chunk + unknown},
		"set no return":        {"set k 0 0 1\r\na\n\n", chunk},
		"set bad data noreply": {"set k 0 0 3 noreply\r\nabcX\r\n", unknown},
		"set no size":          {"set k 0 0\r\n", unknown},
		"set bad size":         {"set k 0 0 abc\r\n", format},
		"set negative":         {"set k 0 0 -1\r\n", format},
		"set huge":             {"set k 0 0 2147483647\r\n", format},
		"set bad flags":        {"set k x 0 1\r\n", format},
		"set negative flags":   {"set k -1 0 1\r\n", format},
		"set bad time":         {"set k 0 1.5 1\r\n", format},
		"set size is noreply":  {"set k 0 0 noreply\r\n", ""},
		"set too many":         {"set k 0 0 1 2 3\r\n", unknown},
		"set noreply":          {"set k 0 0 1 noreply\r\na\r\nget k\r\n", "VALUE k 0 1\r\na\r\nEND\r\n"},
		"set too large":        {set + "set k 0 0 1048577\r\n" + big + "\r\nget k\r\n", "STORED\r\nSERVER_ERROR object too large for cache\r\nEND\r\n"},
		"too large noreply":    {"set k 0 0 1048577 noreply\r\n" + big + "\r\nget k\r\n", "END\r\n"},
		"set expired":          {"set k 0 -1 1\r\na\r\nget k\r\n", "STORED\r\nEND\r\n"},
		"set long ago":         {"set k 0 2592001 1\r\na\r\nget k\r\n", "STORED\r\nEND\r\n"},
		"set a month":          {"set k 0 2592000 1\r\na\r\nget k\r\n", "STORED\r\nVALUE k 0 1\r\na\r\nEND\r\n"},
		"add":                  {"add k 0 0 1\r\na\r\nadd k 0 0 1\r\nb\r\nget k\r\n", "STORED\r\nNOT_STORED\r\nVALUE k 0 1\r\na\r\nEND\r\n"},
		"replace":              {"replace k 0 0 1\r\na\r\n" + set + "replace k 0 0 1\r\nb\r\nget k\r\n", "NOT_STORED\r\nSTORED\r\nSTORED\r\nVALUE k 0 1\r\nb\r\nEND\r\n"},
		"append":               {"append k 0 0 1\r\na\r\n" + set + "append k 9 0 1\r\nb\r\nget k\r\n", "NOT_STORED\r\nSTORED\r\nSTORED\r\nVALUE k 5 3\r\n10b\r\nEND\r\n"},
		"prepend":              {"prepend k 0 0 1\r\na\r\n" + set + "prepend k 9 0 1\r\nb\r\nget k\r\n", "NOT_STORED\r\nSTORED\r\nSTORED\r\nVALUE k 5 3\r\nb10\r\nEND\r\n"},
		"cas absent":           {"cas k 0 0 1 5\r\na\r\n", "NOT_FOUND\r\n"},
		"cas other":            {set + "cas k 0 0 1 0\r\na\r\n", "STORED\r\nEXISTS\r\n"},
		"cas none":             {"cas k 0 0 1\r\na\r\n", unknown + unknown},
		"cas bad":              {"cas k 0 0 1 x\r\na\r\n", format + unknown},
		"delete":               {set + "delete k\r\ndelete k\r\n", "STORED\r\nDELETED\r\nNOT_FOUND\r\n"},
		"delete noreply":       {set + "delete k noreply\r\nget k\r\n", "STORED\r\nEND\r\n"},
		"delete none":          {"delete\r\n", unknown},
		"delete many":          {"delete a b c d\r\n", unknown},
		"delete many noreply":  {"delete a b c noreply\r\n", unknown},
		"delete 251":           {"delete " + k251 + "\r\n", format},
		"touch":                {set + "touch k 100\r\ntouch k -1\r\nget k\r\ntouch k 0\r\n", "STORED\r\nTOUCHED\r\nTOUCHED\r\nEND\r\nNOT_FOUND\r\n"},
		"touch noreply":        {set + "touch k -1 noreply\r\nget k\r\n", "STORED\r\nEND\r\n"},
		"touch none":           {"touch k\r\n", unknown},
		"touch bad":            {"touch k x\r\n", expires},
		"touch 251":            {"touch " + k251 + " 0\r\n", format},
		"incr":                 {set + "incr k 5\r\nincr k 1 noreply\r\nget k\r\n", "STORED\r\n15\r\nVALUE k 5 2\r\n16\r\nEND\r\n"},
		"decr":                 {set + "decr k 1\r\nget k\r\ndecr k 100\r\n", "STORED\r\n9\r\nVALUE k 5 2\r\n9 \r\nEND\r\n0\r\n"},
		"incr wraps":           {"set k 0 0 20\r\n18446744073709551615\r\nincr k 1\r\n", "STORED\r\n0\r\n"},
		"incr absent":          {"incr k 1\r\n", "NOT_FOUND\r\n"},
		"incr none":            {"incr k\r\n", unknown},
		"incr bad":             {set + "incr k x\r\nincr k 18446744073709551616\r\n", "STORED\r\n" + strings.Repeat("CLIENT_ERROR invalid numeric delta argument\r\n", 2)},
		"incr text":            {"set k 0 0 1\r\nz\r\nincr k 1\r\n", "STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n"},
		"flush_all":            {set + "flush_all\r\nget k\r\nflush_all noreply\r\n", "STORED\r\nOK\r\nEND\r\n"},
		"version":              {"version\r\n", "VERSION\r\n"},
		"quit":                 {"quit\r\nversion\r\n", ""},
		"long key":             {"get " + strings.Repeat("x", 3000) + "\r\n", format},
	}
}

// mask hides the parts that may differ between servers: the CAS numbers and the version.
func mask(answer string) string {
	answer = regexp.MustCompile(`(VALUE \w+ \d+ \d+) \d+`).ReplaceAllString(answer, "$1 CAS")
	return regexp.MustCompile(`VERSION [^\r]+`).ReplaceAllString(answer, "VERSION")
}

func conform(t *testing.T, addr string) {
	for name, x := range exchanges() {
		t.Run(name, func(t *testing.T) {
			flushed := backendtest.Talk(t, addr, "flush_all\r\nquit\r\n")
			if _, err := io.ReadAll(flushed); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(backendtest.Talk(t, addr, x.send+"quit\r\n"))
			if err != nil && len(got) == 0 && x.want != "" {
				t.Fatal(err)
			}
			if mask(string(got)) != x.want {
				t.Errorf("sent %.80q\n got %.300q\nwant %.300q", x.send, mask(string(got)), x.want)
			}
		})
	}
}

func TestCacheConforms(t *testing.T) {
	conform(t, backendtest.Start(t, cachebackend.Start, backends.Options{MaxDelay: time.Second}).Addr)
}

// A real memcached gives the answers of the table.
func TestMemcachedConforms(t *testing.T) { conform(t, backendtest.RealServer(t, "MEMCACHED_ADDR")) }

// These answers are the embedded cache's alone.
func TestCacheOwnAnswers(t *testing.T) {
	s := backendtest.Start(t, cachebackend.Start, backends.Options{MaxDelay: time.Second})
	mib := strings.Repeat("x", 1<<20)
	for name, x := range map[string]exchange{
		"1 MiB":         {"set k 0 0 1048576\r\n" + mib + "\r\nget k\r\n", "STORED\r\nVALUE k 0 1048576\r\n" + mib + "\r\nEND\r\n"},
		"append beyond": {"append k 0 0 1\r\na\r\n", "SERVER_ERROR object too large for cache\r\n"},
		"long line":     {strings.Repeat("x", 64<<10) + "\r\n", "CLIENT_ERROR line too long\r\n"},
		"bad delay":     {"get a delay/soon/1\r\n", "CLIENT_ERROR bad duration \"soon\": write 300ms, 1.5s or plain seconds\r\n"},
		"no delay":      {"get delay/\r\n", "CLIENT_ERROR bad duration \"\": write 300ms, 1.5s or plain seconds\r\n"},
		"over the cap":  {"gets delay/2s\r\n", "CLIENT_ERROR duration \"2s\" is over the cap of 1s\r\n"},
		"together over": {"get delay/0.6 delay/0.6\r\n", "CLIENT_ERROR the keys' durations add up to over the cap of 1s\r\n"},
		"an operator's": {"stats\r\nverbosity 1\r\nflush_all 100\r\ndelete k 0\r\n", strings.Repeat("ERROR\r\n", 4)},
		"slow gets":     {"gets delay/1ms/7\r\n", "VALUE delay/1ms/7 0 11 0\r\ndelay/1ms/7\r\nEND\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(name, "append") {
				io.ReadAll(backendtest.Talk(t, s.Addr, "set k 0 0 1048576\r\n"+mib+"\r\nquit\r\n"))
			}
			got, err := io.ReadAll(backendtest.Talk(t, s.Addr, x.send+"quit\r\n"))
			if string(got) != x.want {
				t.Errorf("got %.100q, %v; want %.100q", got, err, x.want)
			}
		})
	}
}
