package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/lab"
	"gotimeout/internal/wire"

	"github.com/alecthomas/kong"
)

// planted stands in each part that may be secret.
const planted = "PLANTED"

// opsOf returns the ops with the settings of command-line flags.
func opsOf(t *testing.T, args ...string) []lab.Op {
	t.Helper()
	var flags struct{ kong.Plugins }
	ops := lab.Ops()
	for _, op := range ops {
		flags.Plugins = append(flags.Plugins, op)
	}
	parser, err := kong.New(&flags)
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range parser.Model.Flags {
		flag.Tag.Envs = nil // the environment may name real servers
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	return ops
}

// read reads the settings of ops up to the first error.
func read(ops []lab.Op) error {
	for _, op := range ops {
		if _, err := op.Read(func(string) string { return "" }); err != nil {
			return err
		}
	}
	return nil
}

// A setting of an own call that can't be read, or that needs another setting, is refused. The
// error says what to do, and quotes no secret.
func TestOwnSettings(t *testing.T) {
	const url, dsn, addr = "--http-request=http://a/?key=" + planted, "--db-dsn=u:" + planted + "@tcp(a:1)/d", "--cache-addr=a:1"
	const target = "--grpc-target=a:1"
	for _, tt := range []struct {
		args string // separated by spaces
		want string
	}{
		{"--http-request=ftp://a/" + planted, "--http-request (GOTIMEOUT_HTTP_REQUEST) can't be read: write http://host:port/path?query"},
		{"--http-request=http://[::" + planted, "--http-request (GOTIMEOUT_HTTP_REQUEST) can't be read"},
		{url + " --http-url=http://b", "are two servers for one op: leave one of them out"},
		{url + " --http-method=A(B", "--http-method (GOTIMEOUT_HTTP_METHOD) is no method"},
		{url + " --http-header=" + planted, "--http-header (GOTIMEOUT_HTTP_HEADER) has a header that can't be read: write 'Name: value'"},
		{url + " --http-header=X\x01:" + planted, "--http-header (GOTIMEOUT_HTTP_HEADER) has a header that can't be read"},
		{url + " --http-body=@/no/such/file", "--http-body (GOTIMEOUT_HTTP_BODY) can't be read: open /no/such/file"},
		{url + " --http-expect=200,9xx", `--http-expect (GOTIMEOUT_HTTP_EXPECT) has "9xx", which is no status: write 200, 2xx, or several`},
		{"--http-header=X:1", "is of an own request, and there is none: give its URL by --http-request"},
		{"--http-redirects", "--http-redirects (GOTIMEOUT_HTTP_REDIRECTS) is of an own request"},
		{"--db-query=SELECT", "is of a database of your own, and there is none: name it by --db-dsn"},
		{dsn + " --db-write", "is of an own statement, and there is none: give it by --db-query"},
		{"--cache-key=" + planted, "is of a memcached of your own, and there is none: give its address by --cache-addr"},
		{addr + " --cache-key=" + planted + "\tb", "--cache-key (GOTIMEOUT_CACHE_KEY) is no key of memcached: use at most 250 bytes"},
		{"--redis-url=redis://:" + planted + "/@h", "--redis-url (REDIS_URL) can't be used: no readable URL; write redis://user:pass@host:6379/0"},
		{"--redis-command=GET", "is of a Redis of your own, and there is none: name it by --redis-url"},
		{"--redis-url=redis://h --redis-command='" + planted, "--redis-command (GOTIMEOUT_REDIS_COMMAND) names no command, or has a quote without its end"},
		{"--grpc-method=a.B/C", "is of a gRPC server of your own, and there is none: give its address by --grpc-target"},
		{"--grpc-tls", "--grpc-tls (GOTIMEOUT_GRPC_TLS) is of a gRPC server of your own, and there is none"},
		{"--grpc-target=a", `--grpc-target (GRPC_TARGET) is "a", which can't be read`},
		{"--grpc-target=https://u:" + planted + "@a:1", "--grpc-target (GRPC_TARGET) has an @, and an address has no user: write host:port"},
		{target + " --grpc-body={}", "--grpc-body (GOTIMEOUT_GRPC_BODY) is of an own method, and there is none: give it by --grpc-method"},
		{target + " --grpc-method=/a.B/C", "--grpc-method (GOTIMEOUT_GRPC_METHOD) can't be read: write package.Service/Method"},
		{target + " --grpc-method=a.B/C --grpc-body=" + planted, "--grpc-body (GOTIMEOUT_GRPC_BODY) is no JSON: write such as '{\"name\": \"value\"}', or @FILE"},
		{target + " --grpc-method=a.B/C --grpc-body=@/no/such/file", "--grpc-body (GOTIMEOUT_GRPC_BODY) can't be read: open /no/such/file"},
		{"--shell", "--shell (GOTIMEOUT_SHELL) reads a command, and there is none: give it by --command"},
		{"--command='" + planted, "--command (GOTIMEOUT_COMMAND) names no program, or has a quote without its end"},
		{"--command=\t", "--command (GOTIMEOUT_COMMAND) names no program"},
	} {
		if err := read(opsOf(t, strings.Split(tt.args, " ")...)); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), planted) {
			t.Errorf("%q: %v, want %q", tt.args, err, tt.want)
		}
	}
	for _, tt := range []struct {
		args, name string
		network    bool
		want       string
	}{
		{url, "", true, ""},
		{url + " --http-redirects", "", true, "--http-redirects (GOTIMEOUT_HTTP_REDIRECTS) can't be had with --network"},
		{"--command=true", "", true, "--command (GOTIMEOUT_COMMAND) can't be on the lab's network"},
		{"--command=true", "mine", false, ""},
		{"", "mine", false, "--name (GOTIMEOUT_NAME) names an own call, and there is none"},
		{"--command=true " + url, "mine", false, "--name (GOTIMEOUT_NAME) names one call, and there are 2"},
	} {
		with := settings
		with.Ops, with.OwnName = opsOf(t, strings.Fields(tt.args)...), tt.name
		if err := read(with.Ops); err != nil {
			t.Fatal(err)
		}
		if err := with.Check(tt.network); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// open opens a lab with the settings of command-line flags.
func open(t *testing.T, with lab.Settings, log *strings.Builder, args ...string) *lab.Lab {
	t.Helper()
	with.Ops = opsOf(t, args...)
	if err := read(with.Ops); err != nil {
		t.Fatal(err)
	}
	l, err := lab.Open(t.Context(), with, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// ask returns the status and the body of a lab's answer.
func ask(l *lab.Lab, path string) (int, string) {
	w := httptest.NewRecorder()
	l.Routes().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// An own request has the body of a file, and the given headers. An environment variable has
// one header in each line.
func TestOwnRequestOfSettings(t *testing.T) {
	body := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(body, []byte("of a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := new(strings.Builder)
		_ = r.Header.WriteSubset(text, map[string]bool{"Accept-Encoding": true, "Content-Length": true, "Gotimeout-Run": true, "User-Agent": true})
		fmt.Fprint(text, r.Method, " ", r.Host == "elsewhere", " ", r.ContentLength)
		asked <- strings.ReplaceAll(text.String(), "\r\n", "|")
		w.WriteHeader(http.StatusCreated)
	}))
	defer server.Close()
	var log strings.Builder
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{nil, 200, "GET false 0"},
		{[]string{"--http-body=@" + body}, 200, "POST false 9"},
		{[]string{"--http-body=text", "--http-method=PUT", "--http-header=Host: elsewhere", "--http-header=A: 1, 2\nB: 3"}, 200, "A: 1, 2|B: 3|PUT true 4"},
		{[]string{"--http-expect=200,3xx"}, 502, "GET false 0"},
		{[]string{"--http-expect=2xx"}, 200, "GET false 0"},
	} {
		l := open(t, settings, &log, append(tt.args, "--http-request="+server.URL+"/report?id=7")...)
		if status, answer := ask(l, "/context-cancel?timeout=10s"); status != tt.status {
			t.Errorf("%q: %d %s", tt.args, status, answer)
		}
		if got := <-asked; got != tt.want {
			t.Errorf("%q: %q, want %q", tt.args, got, tt.want)
		}
	}
}

// An own call replaces the call of its op. The parameters of that call are refused with the
// reason, /lab and the page have the name of the own call, and a public lab logs a warning.
func TestOwnCall(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	var log strings.Builder
	with := settings
	with.Public, with.MaxInFlight = true, 100
	l := open(t, with, &log, "--http-request="+server.URL+"/report?key="+planted)
	for path, want := range map[string]string{
		"/baseline?delay=1s":                         "delay=1s can't be had: the call is your own, and is as slow as it is",
		"/baseline?backend=aware":                    "backend can't be chosen for op=http, which is an own call: leave it out",
		"/baseline?target=hang":                      "target can't be chosen for op=http, which is an own call: leave it out",
		"/compare?delay=1s":                          "can't be had",
		"/io-timeout?connect_timeout=9s&timeout=10s": `"status":"completed"`,
		"/baseline?delay=0":                          `"status":"completed"`,
		"/baseline?op=all&delay=0":                   `"status":"completed"`,
		"/readyz":                                    `"ready":true`,
		"/lab":                                       `"own":{"name":"GET ` + host + `/report","alone_ms":null}`,
		"/":                                          "Your own call: GET " + host + "/report. How long it takes alone is not known",
		"/baseline?op=command":                       "there is no op",
		"/context-cancel?op=cache&delay=10ms":        `"status":"completed"`,
	} {
		if _, answer := ask(l, path); !strings.Contains(strings.Join(strings.Fields(answer), " "), want) || strings.Contains(answer, planted) {
			t.Errorf("%s: %s, want %q", path, answer, want)
		}
	}
	if !strings.Contains(log.String(), "strangers may have it make your own call") || !strings.Contains(log.String(), "at_most_a_second=20 at_most_at_once=110") {
		t.Error(log.String())
	}
}

// A public lab limits own calls to OwnASecond a second, and doesn't limit other calls so.
func TestOwnCallsASecond(t *testing.T) {
	var log strings.Builder
	with := settings
	with.Public, with.MaxInFlight, with.MaxAbandoned = true, 100, 100
	l := open(t, with, &log, "--command=true")
	start, refused := time.Now(), 0
	for range 30 {
		if status, answer := ask(l, "/baseline?op=command&timeout=10s"); status == http.StatusServiceUnavailable && strings.Contains(answer, "too_many_own") {
			refused++
		}
	}
	if took := time.Since(start); took < time.Second && refused != 10 {
		t.Errorf("%d of 30 runs were refused, in %s", refused, took)
	}
	if status, answer := ask(l, "/baseline?op=cpu&delay=0"); status != http.StatusOK {
		t.Error(answer)
	}
}

// A lab that begins to serve measures its own call. If that fails, the lab still serves, and
// logs the reason.
func TestOwnCallAlone(t *testing.T) {
	for args, want := range map[string]string{
		"--command=sleep 0.05":                 `msg="own call" op=command call="the program sleep" alone=`,
		"--command=no-such-program " + planted: `error="command: executable file not found in $PATH"`,
	} {
		var log strings.Builder
		l := open(t, settings, &log, args)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error)
		go func() { served <- l.Serve(ctx, listener) }()
		resp, err := http.Get("http://" + listener.Addr().String() + "/lab")
		if err != nil {
			t.Fatal(err)
		}
		var facts wire.Lab
		if err := json.NewDecoder(resp.Body).Decode(&facts); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		var alone *float64
		for _, op := range facts.Ops {
			if op.Name == "command" {
				alone = op.Own.Alone
			}
		}
		if measured := strings.Contains(args, "sleep"); measured != (alone != nil) || measured && *alone < 50 {
			t.Errorf("%s: alone %v", args, alone)
		}
		if !strings.Contains(log.String(), want) || strings.Contains(log.String(), planted) {
			t.Error(log.String())
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// A receipt says whether a command has left programs that it had started.
func TestOrphans(t *testing.T) {
	for command, want := range map[string]string{"sleep 300 &": "true", "sleep 0 & wait": "<nil>"} {
		var log strings.Builder
		l := open(t, settings, &log, "--shell", "--command="+command)
		_, answer := ask(l, "/context-cancel?op=command&timeout=10s")
		var run struct{ Receipt string }
		if err := json.Unmarshal([]byte(answer), &run); err != nil {
			t.Fatal(err)
		}
		_, text := ask(l, run.Receipt)
		var receipt map[string]any
		if err := json.Unmarshal([]byte(text), &receipt); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(receipt["orphans"]); got != want {
			t.Errorf("%s: orphans %s, want %s: %s", command, got, want, text)
		}
	}
}

// No error about the address of a server quotes a text with a user, whose password the planted text may be, and each is one line.
// What is accepted is the address of one server, and is read as the same again.
func FuzzAddresses(f *testing.F) {
	for _, text := range []string{
		"h:11211", "memcached://h", "MEMCACHED://[::1]:1/", "unix:/run/../m.sock", "unix:///m", "memcached://u:PLANTED@h", "a:1,b:2", "memcached://h/PLANTED?x", "http://u:PLANTED@h:1/base", "https://h", "u:PLANTED@h",
		"http://h?PLANTED", "http://[::PLANTED", "nats://u:PLANTED@a:4222,tls://b", "nats://,", "h:65536", ":1", "http://h/%zz", "redis://PLANTED", "\n@PLANTED", "\nPLANTED",
	} {
		before, after, _ := strings.Cut(text, planted)
		f.Add(before, after)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		text := before + planted + after
		silent := func(err error) {
			if strings.ContainsAny(err.Error(), "\r\n") || strings.Contains(text, "@") && strings.Contains(err.Error(), planted) {
				t.Errorf("%q: %v", text, err)
			}
		}
		if addr, err := lab.ReadCacheAddr(text); err != nil {
			silent(err)
		} else if again, err := lab.ReadCacheAddr(addr); err != nil || again != addr {
			t.Errorf("%q is read as %q, and that as %q, %v", text, addr, again, err)
		}
		if u, err := lab.ReadURL(text); err != nil {
			silent(err)
		} else if again, err := lab.ReadURL(u.String()); err != nil || again.String() != u.String() {
			t.Errorf("%q is read as %q, and that as %v, %v", text, u, again, err)
		}
		if err := lab.CheckAddr(text); err != nil {
			silent(err)
		} else if _, port, err := net.SplitHostPort(text); err != nil || !lab.IsPort(port) {
			t.Errorf("%q is no host:port, and is accepted", text)
		}
		if err := lab.ReadNATSURL(text); err != nil && strings.Contains(err.Error(), planted) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
