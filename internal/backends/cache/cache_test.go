package cachebackend_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"go.uber.org/goleak"

	"gotimeout/internal/backends"
	"gotimeout/internal/backends/backendtest"
	cachebackend "gotimeout/internal/backends/cache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newMemcache(t *testing.T, s *backends.Server) *memcache.Client {
	c := memcache.New(s.Addr)
	c.Timeout = backendtest.Patience
	t.Cleanup(func() { c.Close() })
	return c
}

func TestGomemcache(t *testing.T) {
	c := newMemcache(t, backendtest.Start(t, cachebackend.Start, backends.Options{MaxDelay: backendtest.Long}))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Ping())
	must(c.Set(&memcache.Item{Key: "a", Value: []byte("1\r\n2"), Flags: 7}))
	it, err := c.Get("a")
	must(err)
	if string(it.Value) != "1\r\n2" || it.Flags != 7 {
		t.Errorf("got %q, flags %d", it.Value, it.Flags)
	}
	must(c.CompareAndSwap(it))
	if err := c.CompareAndSwap(it); !errors.Is(err, memcache.ErrCASConflict) {
		t.Errorf("second swap: %v", err)
	}
	if err := c.Add(it); !errors.Is(err, memcache.ErrNotStored) {
		t.Errorf("add: %v", err)
	}
	must(c.Replace(&memcache.Item{Key: "a", Value: []byte("9")}))
	must(c.Append(&memcache.Item{Key: "a", Value: []byte("9")}))
	if n, err := c.Increment("a", 1); n != 100 || err != nil {
		t.Errorf("increment: %d, %v", n, err)
	}
	must(c.Touch("a", 100))
	_, err = c.GetAndTouch("a", 100)
	must(err)
	if items, err := c.GetMulti([]string{"a", "nope"}); len(items) != 1 || err != nil {
		t.Errorf("multi: %v, %v", items, err)
	}
	must(c.Delete("a"))
	must(c.FlushAll())
	if _, err := c.Get("a"); !errors.Is(err, memcache.ErrCacheMiss) {
		t.Errorf("get: %v", err)
	}
}

func TestSlowKeys(t *testing.T) {
	t.Parallel()
	r := backendtest.NewRuns()
	s := backendtest.Start(t, cachebackend.Start, r.Options())
	c := newMemcache(t, s)
	for _, key := range []string{"delay/300ms/slow", "delay/0.3", "delay/0s/fast", "delay/0"} {
		began := time.Now()
		it, err := c.Get(key)
		if err != nil {
			t.Fatal(err)
		}
		if string(it.Value) != key {
			t.Errorf("%s = %q", key, it.Value)
		}
		took := time.Since(began)
		if slow := strings.Contains(key, "3"); slow && took < 300*time.Millisecond || !slow && took > 5*time.Second {
			t.Errorf("%s took %s", key, took)
		}
	}
	r.Balanced(t, "slow", "fast")
}

// A server that misses the EOF of its client keeps the socket in CLOSE-WAIT.
func TestCacheClosesOnItsClientsEOF(t *testing.T) {
	for name, send := range map[string]string{
		"idle":             "",
		"in a line":        "get a",
		"in a value":       "set a 0 0 10\r\nabc",
		"slow key":         "get delay/100/run\r\n",
		"pipelined behind": "get delay/100/run\r\nget a\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := backendtest.NewRuns()
			s := backendtest.Start(t, cachebackend.Start, r.Options())
			c := backendtest.Talk(t, s.Addr, send)
			if strings.Contains(send, "run") {
				backendtest.Eventually(t, "began", r.HasBegun("run"))
				if jobs := s.Working(); len(jobs) != 1 || jobs[0].Work != "get delay/1m40s" {
					t.Errorf("Working() = %+v", jobs)
				}
			}
			c.CloseWrite()
			if got, err := io.ReadAll(c); err != nil || len(got) > 0 {
				t.Errorf("read %q, %v; want EOF", got, err)
			}
			if strings.Contains(send, "run") {
				r.Balanced(t, "run")
			}
		})
	}
}

// The client sends more than the connection's buffer during a delay. The server waits for the delay and loses no byte.
func TestSlowKeyWithMuchSentAhead(t *testing.T) {
	s := backendtest.Start(t, cachebackend.Start, backends.Options{MaxDelay: backendtest.Long})
	c := backendtest.Talk(t, s.Addr, "get delay/100ms\r\n"+strings.Repeat("get nothing-here\r\n", 1000)+"quit\r\n")
	got, err := io.ReadAll(c)
	want := "VALUE delay/100ms 0 11\r\ndelay/100ms\r\n" + strings.Repeat("END\r\n", 1001)
	if string(got) != want || err != nil {
		t.Errorf("read %d bytes, %v; want %d", len(got), err, len(want))
	}
}

func TestCacheCloseInterrupts(t *testing.T) {
	r := backendtest.NewRuns()
	s := backendtest.Start(t, cachebackend.Start, r.Options())
	backendtest.Talk(t, s.Addr, "get delay/100/a delay/100/b\r\n")
	backendtest.Talk(t, s.Addr, "get delay/100/c\r\n"+strings.Repeat("get nothing-here\r\n", 1000))
	backendtest.Eventually(t, "began", func() bool { return r.HasBegun("a")() && r.HasBegun("c")() })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	r.Balanced(t, "a", "c")
}

func TestCacheBoundsMemory(t *testing.T) {
	client, served := net.Pipe()
	held := make(chan int)
	const limit = 3 << 20
	go func() { held <- cachebackend.Serve(served, limit, 0) }()
	answers := bufio.NewReader(client)
	value := bytes.Repeat([]byte("x"), 1<<20)
	for i := range 10 {
		fmt.Fprintf(client, "set key%d 0 0 %d\r\n%s\r\n", i, len(value), value)
		if line, _ := answers.ReadString('\n'); line != "STORED\r\n" {
			t.Fatalf("answer %q", line)
		}
	}
	io.WriteString(client, "get key0\r\n")
	if line, _ := answers.ReadString('\n'); line != "END\r\n" {
		t.Errorf("the oldest item is still there: %.20q", line)
	}
	client.Close()
	if held := <-held; held > limit || held < limit/2 {
		t.Errorf("holds %d bytes of at most %d", held, limit)
	}
}

// Whatever a client sends, the server doesn't panic, stays within its memory limit, and answers in whole lines.
func FuzzCacheConnection(f *testing.F) {
	for _, x := range exchanges() {
		if len(x.send) < 10_000 {
			f.Add([]byte(x.send))
		}
	}
	f.Add([]byte("get delay/1ms/run delay/0\r\nget delay/x\r\nset delay/0 0 0 1\r\na\r\nget delay/0\r\n"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		const limit = 2000
		c := backendtest.NewScript(sent)
		if held := cachebackend.Serve(c, limit, time.Millisecond); held > limit || held < 0 {
			t.Errorf("holds %d bytes of at most %d", held, limit)
		}
		if out := c.Answers(); len(out) > 0 && !bytes.HasSuffix(out, []byte("\r\n")) {
			t.Errorf("answers end in %q", out[max(0, len(out)-40):])
		}
	})
}
