package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gotimeout/internal/backends"
	cachebackend "gotimeout/internal/backends/cache"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/load"
)

// readSettings reads the settings of serve from a command line and variables.
func readSettings(t *testing.T, port string, env []string, args ...string) plan {
	t.Helper()
	getenv := environmentOf(append(env, "PORT="+port))
	c := newCLI()
	parser, err := newParser(c, getenv)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	s, err := c.Serve.read(getenv)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A set PORT means a PaaS, whose labs are public. A flag or a variable wins over PORT.
func TestPublic(t *testing.T) {
	for _, test := range []struct {
		port, env, arg string
		want           bool
	}{
		{"", "", "", false},
		{"8000", "", "", true},
		{"8000", "", "--addr=:0", true},
		{"8000", "", "--no-public", false},
		{"8000", "GOTIMEOUT_PUBLIC=false", "", false},
		{"8000", "GOTIMEOUT_PUBLIC=0", "--public", true},
		{"", "GOTIMEOUT_PUBLIC=1", "", true},
		{"", "GOTIMEOUT_PUBLIC=true", "--no-public", false},
		{"", "", "--public", true},
	} {
		t.Run(strings.Join([]string{test.port, test.env, test.arg}, " "), func(t *testing.T) {
			if s := readSettings(t, test.port, some(test.env), some(test.arg)...); s.lab.Public != test.want {
				t.Errorf("public is %v", s.lab.Public)
			}
		})
	}
}

// some returns a list of the text, or an empty list for "".
func some(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// A public lab has lower caps, and flags win over them.
func TestCaps(t *testing.T) {
	for args, want := range map[string]string{
		"":         "10s 30s 2048 8192 10000",
		"--public": "5s 10s 256 1024 1000",
		"--public --max-delay=9s --max-in-flight=3000": "9s 10s 3000 1024 1000",
		"--public --max-timeout=20s --max-abandoned=1": "5s 20s 256 1 1000",
		"--receipts=5 --max-timeout=40s":               "10s 40s 2048 8192 5",
	} {
		s := readSettings(t, "", nil, strings.Fields(args)...)
		if got := fmt.Sprint(s.lab.MaxDelay, s.lab.MaxTimeout, s.lab.MaxInFlight, s.lab.MaxAbandoned, s.lab.Receipts); got != want {
			t.Errorf("%q: %s, want %s", args, got, want)
		}
		if s.lab.MaxDelay > time.Minute {
			t.Errorf("%q: %+v", args, s)
		}
	}
}

func TestTrustedProxies(t *testing.T) {
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	if s := readSettings(t, "", nil, "--trusted-proxies=10.0.0.0/8,fd00::/8"); !slices.Equal(s.lab.TrustedProxies, want) {
		t.Errorf("%v", s.lab.TrustedProxies)
	}
	if s := readSettings(t, "", []string{"GOTIMEOUT_TRUSTED_PROXIES=10.0.0.0/8,fd00::/8"}); !slices.Equal(s.lab.TrustedProxies, want) {
		t.Errorf("from the environment: %v", s.lab.TrustedProxies)
	}
}

// The lab uses the database of a PaaS if it is a MySQL and no setting names another. The lab
// notes each add-on that it ignores.
func TestPaaS(t *testing.T) {
	const (
		ignored = " is ignored: it is no mysql:// URL, and this lab's database is a MySQL; MYSQL_DSN names one"
		cache   = "MEMCACHIER_SERVERS is ignored: it wants a login by SASL, which gomemcache doesn't speak; MEMCACHED_ADDR names a memcached without one"
	)
	for name, test := range map[string]struct {
		env   []string
		addr  string // of the database; "" is the embedded database
		notes []string
	}{
		"nothing":         {nil, "", nil},
		"MySQL":           {[]string{"DATABASE_URL=mysql://u:secret@a:1/d"}, "a:1", []string{"the database is that of DATABASE_URL"}},
		"JawsDB first":    {[]string{"DATABASE_URL=mysql://u:secret@a:1/d", "JAWSDB_URL=mysql://u:secret@b/d"}, "b:3306", []string{"the database is that of JAWSDB_URL"}},
		"MYSQL_DSN first": {[]string{"JAWSDB_URL=mysql://u:secret@b:2/d", "MYSQL_DSN=u@tcp(c:3)/d", "DATABASE_URL=mysql://x"}, "c:3", nil},
		"PostgreSQL":      {[]string{"DATABASE_URL=postgres://u:secret@a:5432/d"}, "a:5432", []string{"the PostgreSQL is that of DATABASE_URL"}},
		"another's":       {[]string{"DATABASE_URL=secret"}, "", []string{"DATABASE_URL" + ignored}},
		"options":         {[]string{"JAWSDB_URL=mysql://u:secret@b/d?reconnect=true&pool=5"}, "b:3306", []string{"the database is that of JAWSDB_URL", "JAWSDB_URL has options that go-sql-driver doesn't know, and they are not used: pool and reconnect; a system variable stands in a DSN, as in user:pass@tcp(host:3306)/db?sql_mode=ANSI"}},
		"one of the two":  {[]string{"JAWSDB_URL=mysql2://u:secret@b/d", "DATABASE_URL=mysql://a:1/d"}, "a:1", []string{"JAWSDB_URL" + ignored, "the database is that of DATABASE_URL"}},
		"MemCachier":      {[]string{"MEMCACHIER_SERVERS=a:11211", "MEMCACHIER_USERNAME=u", "MEMCACHIER_PASSWORD=secret"}, "", []string{cache}},
		"a memcached":     {[]string{"MEMCACHIER_SERVERS=a:11211", "MEMCACHED_ADDR=b:11211"}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := readSettings(t, "", test.env)
			addr := ""
			for _, real := range s.lab.Servers() {
				if real.Addr != "b:11211" {
					addr = real.Addr
				}
			}
			if addr != test.addr || !slices.Equal(s.notes, test.notes) {
				t.Errorf("%q %q, want %q %q", addr, s.notes, test.addr, test.notes)
			}
		})
	}
}

// The addresses of memcached and the databases may be written in each usual form.
func TestServerAddresses(t *testing.T) {
	for arg, want := range map[string]private.Server{
		"--cache-addr=h:1":                               {Network: "tcp", Addr: "h:1"},
		"--cache-addr=[::1]:1":                           {Network: "tcp", Addr: "[::1]:1"},
		"--cache-addr=memcached://h":                     {Network: "tcp", Addr: "h:11211"},
		"--cache-addr=memcached://h:1/":                  {Network: "tcp", Addr: "h:1"},
		"--cache-addr=Memcached://[::1]":                 {Network: "tcp", Addr: "[::1]:11211"},
		"--cache-addr=/run/mc.sock":                      {Network: "unix", Addr: "/run/mc.sock"},
		"--cache-addr=unix:/run/mc.sock":                 {Network: "unix", Addr: "/run/mc.sock"},
		"--cache-addr=unix:///run/mc.sock":               {Network: "unix", Addr: "/run/mc.sock"},
		"--db-dsn=mysql://u:secret@tcp(h:1)/d":           {Network: "tcp", Addr: "h:1"},
		"--db-dsn=mysql://u:secret@unix(/run/my.sock)/d": {Network: "unix", Addr: "/run/my.sock"},
		"--postgres-url=postgres://u:secret@h/d":         {Network: "tcp", Addr: "h:5432"},
		"--postgres-url=host=/run/pg user=u password=p":  {Network: "unix", Addr: "/run/pg/.s.PGSQL.5432"},
		"--redis-url=redis://u:secret@h/1":               {Network: "tcp", Addr: "h:6379"},
		"--redis-url=unix:///run/redis.sock":             {Network: "unix", Addr: "/run/redis.sock"},
	} {
		if s := readSettings(t, "", nil, arg); !slices.Equal(s.lab.Servers(), []private.Server{want}) {
			t.Errorf("%s: %+v, want %+v", arg, s.lab.Servers(), want)
		}
	}
}

// A memcached on a Unix socket works like one on a port, except that it has no TCP sockets
// to count.
func TestCacheOnASocket(t *testing.T) {
	embedded := func(t *testing.T, path string) {
		memcached, err := cachebackend.Start(backends.Options{})
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		relay := make(chan bool)
		go func() { relaySocket(listener, memcached.Addr); close(relay) }()
		t.Cleanup(func() { listener.Close(); memcached.Close(); <-relay })
	}
	for name, serve := range map[string]func(t *testing.T, path string){"embedded": embedded, "real": memcachedOn} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "mc.sock")
			serve(t, path)
			p := start(t, "--cache-addr=unix:"+path)
			defer p.stop()
			if status, v := p.complete(t, "/context-cancel?op=cache"); status != http.StatusOK {
				t.Errorf("%d, %s", status, describe(v))
			}
			var ready struct {
				Backends []struct {
					Name, Addr string
					Ready      bool
				}
			}
			if p.get(t, "/readyz", &ready); !ready.Backends[1].Ready || ready.Backends[1].Addr != path {
				t.Errorf("/readyz: %+v", ready)
			}
			var answer struct {
				Sockets *struct{ Backends []struct{ Name string } }
			}
			if p.get(t, "/sockets", &answer); answer.Sockets != nil && len(answer.Sockets.Backends) != len(dialing)-1 { // nil where the system can't list sockets
				t.Errorf("/sockets: %+v", answer.Sockets)
			}
		})
	}
}

// relaySocket passes each connection on to addr, until the listener is closed.
func relaySocket(listener net.Listener, addr string) {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", addr)
		if err != nil {
			client.Close()
			continue
		}
		all.Go(func() { _, _ = io.Copy(server, client); server.Close() })
		all.Go(func() { _, _ = io.Copy(client, server); client.Close() })
	}
}

// memcachedOn runs a real memcached on a Unix socket until the test ends.
func memcachedOn(t *testing.T, path string) {
	program, err := exec.LookPath("memcached")
	switch {
	case err != nil && os.Getenv("CI") == "true":
		t.Fatal("CI must run this against a real memcached: install memcached")
	case err != nil:
		t.Skip("memcached is not installed")
	}
	memcached := exec.Command(program, "-u", "root", "-s", path) // only root needs -u
	if err := memcached.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = memcached.Process.Kill(); _ = memcached.Wait() })
	for deadline := time.Now().Add(30 * time.Second); ; {
		c, err := net.Dial("unix", path)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
}

// A rate may be written in each usual form, and the plan has it in requests a second.
func TestRates(t *testing.T) {
	for text, want := range map[string]struct {
		perSecond float64
		interval  time.Duration
		again     string
	}{
		"200":       {200, 5 * time.Millisecond, "200/s"},
		"100/s":     {100, 10 * time.Millisecond, "100/s"},
		"0.5":       {0.5, 2 * time.Second, "30/m"},
		"30/m":      {0.5, 2 * time.Second, "30/m"},
		"2/h":       {2.0 / 3600, 30 * time.Minute, "2/h"},
		"1/h":       {1.0 / 3600, time.Hour, "1/h"},
		"6000000/m": {100_000, 10 * time.Microsecond, "100000/s"},
		"1.5/s":     {1.5, 666666666 * time.Nanosecond, "1.5/s"},
	} {
		for _, command := range []string{"compare", "recommend"} {
			c := newCLI()
			parser, err := newParser(c, environmentOf(nil))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse([]string{command, "--rate=" + text}); err != nil {
				t.Errorf("%s --rate=%s: %v", command, text, err)
				continue
			}
			r := c.Compare.Rate
			if command == "recommend" {
				r = c.Recommend.Rate
			}
			if between := (load.Plan{Rate: float64(r)}).Interval(); float64(r) != want.perSecond || between != want.interval || r.String() != want.again {
				t.Errorf("%s --rate=%s: %v a second, one every %s, %s; want %+v", command, text, float64(r), between, r, want)
			}
		}
	}
}
