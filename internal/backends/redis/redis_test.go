package redisbackend_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/backends"
	"gotimeout/internal/backends/backendtest"
	redisbackend "gotimeout/internal/backends/redis"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// command writes a command as a client does.
func command(words ...string) string {
	text := fmt.Sprintf("*%d\r\n", len(words))
	for _, word := range words {
		text += fmt.Sprintf("$%d\r\n%s\r\n", len(word), word)
	}
	return text
}

// everywhere runs a test on the stand-in and on a real Redis.
func everywhere(t *testing.T, test func(t *testing.T, addr string)) {
	addrs := map[string]func(*testing.T) string{
		"embedded": func(t *testing.T) string {
			return backendtest.Start(t, redisbackend.Start, backends.Options{MaxDelay: backendtest.Long}).Addr
		},
		"real": func(t *testing.T) string {
			u, err := url.Parse(backendtest.RealServer(t, "REDIS_URL"))
			if err != nil {
				t.Fatal(err)
			}
			return u.Host
		},
	}
	for place, addr := range addrs {
		t.Run(place, func(t *testing.T) { test(t, addr(t)) })
	}
}

// The stand-in gives the answers of Redis, and then reads on.
func TestConforms(t *testing.T) {
	everywhere(t, func(t *testing.T, at string) {
		for send, want := range map[string]string{
			command("ECHO", "gotimeout run=a"):             "$15\r\ngotimeout run=a\r\n",
			command("echo", "a\r\nb"):                      "$4\r\na\r\nb\r\n",
			command("BLPOP", "gotimeout-none", "0.001"):    "*-1\r\n",
			command("blpop", "gotimeout-none", "b", "0.1"): "*-1\r\n",
			command("HELLO", "3", "EXTRA"):                 "-ERR",
			command("GET", "gotimeout-none"):               "$-1\r\n",
			command("SELECT", "1"):                         "+OK\r\n",
			command("CLIENT", "SETNAME", "a"):              "+OK\r\n",
			command("GOTIMEOUT"):                           "-ERR",
			command("BLPOP", "a"):                          "-ERR",
			command("BLPOP", "a", "x"):                     "-ERR",
			command("BLPOP", "a", "-1"):                    "-ERR",
		} {
			c := backendtest.Talk(t, at, send+command("PING")+command("QUIT"))
			got, err := io.ReadAll(c)
			rest, ok := strings.CutPrefix(string(got), want)
			if want == "-ERR" {
				_, rest, _ = strings.Cut(rest, "\r\n")
			}
			if err != nil || !ok || rest != "+PONG\r\n+OK\r\n" {
				t.Errorf("sent %q\n got %q, %v; want %q", send, got, err, want)
			}
		}
	})
}

// These answers are the stand-in's alone. What is no command ends the connection.
func TestOwnAnswers(t *testing.T) {
	s := backendtest.Start(t, redisbackend.Start, backends.Options{MaxDelay: time.Second})
	for send, want := range map[string]string{
		command("SET", "a", "b"):                  "the embedded Redis doesn't have \"SET\": it has BLPOP, ",
		command("EVAL", "while true do end", "0"): "doesn't have \"EVAL\"",
		command("SUBSCRIBE", "a"):                 "doesn't have \"SUBSCRIBE\"",
		command("BLPOP", "a", "2"):                "ERR duration \"2\" is over the cap of 1s",
		command("BLPOP", "a", "0"):                "ERR a timeout of 0 is for ever",
		"*0\r\n":                                  "ERR Protocol error: an empty command",
		"*-1\r\n":                                 "ERR Protocol error: the length after '*' is no number up to 64",
		"*65\r\n":                                 "no number up to 64",
		"*1\r\n$65537\r\n":                        "no number up to 65536",
		"*2\r\n$60000\r\n" + strings.Repeat("x", 60000) + "\r\n$6000\r\n": "no number up to 5536",
		"GET / HTTP/1.1\r\n\r\n": "ERR Protocol error: expected '*'",
		"\r\n":                   "ERR Protocol error: expected '*'",
		"*1\r\n*1\r\n":           "ERR Protocol error: expected '$'",
	} {
		c := backendtest.Talk(t, s.Addr, send)
		got, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || !strings.HasPrefix(got, "-ERR") || !strings.Contains(got, want) {
			t.Errorf("sent %.60q: %q, %v; want %q", send, got, err, want)
		}
		if strings.Contains(got, "Protocol") {
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Errorf("sent %.60q: the connection is open", send)
			}
		}
	}
}

// A BLPOP ends with its time, when its client leaves, and when the server is closed.
func TestEnds(t *testing.T) {
	runs := backendtest.NewRuns()
	s := backendtest.Start(t, redisbackend.Start, runs.Options())
	slow := func(run, timeout string) string { return command("BLPOP", "gotimeout run="+run, timeout) }
	done := backendtest.Talk(t, s.Addr, slow("done", "0.01")+command("ECHO", "gotimeout run=echo"))
	backendtest.Eventually(t, "the end of its time", func() bool { return runs.HasEnded("done")() && runs.HasEnded("echo")() })
	done.Close()

	left := backendtest.Talk(t, s.Addr, slow("left", "60"))
	backendtest.Eventually(t, "the begin", runs.HasBegun("left"))
	if jobs := s.Working(); len(jobs) != 1 || jobs[0].Run != "left" || jobs[0].Work != "BLPOP 1m0s" {
		t.Errorf("working on %v", jobs)
	}
	left.Close()
	backendtest.Eventually(t, "the end by its client", runs.HasEnded("left"))

	backendtest.Talk(t, s.Addr, slow("closed", "60"))
	backendtest.Eventually(t, "the begin", runs.HasBegun("closed"))
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	runs.Balanced(t, "done", "echo", "left", "closed")
}

// The look shows a client that waits under the name of its run, and nobody else.
func TestLook(t *testing.T) {
	everywhere(t, func(t *testing.T, addr string) {
		opt := &redis.Options{Addr: addr, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}}
		asks := redis.NewClient(opt)
		defer asks.Close()
		look := redisbackend.Look(func(ctx context.Context, args ...any) (any, error) { return asks.Do(ctx, args...).Result() })
		shown := func(run string) func() bool {
			return func() bool {
				s, err := look(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				_, ok := s.Of[run]
				return ok && s.Of["idle"] == 0
			}
		}
		name := func(run string) string { return command("CLIENT", "SETNAME", "gotimeout-run="+run) }
		backendtest.Talk(t, addr, name("idle"))
		waits := backendtest.Talk(t, addr, name("waits")+command("BLPOP", "gotimeout-none", "60"))
		backendtest.Eventually(t, "it is shown", shown("waits"))
		waits.Close()
		backendtest.Eventually(t, "it is gone", func() bool { return !shown("waits")() })
	})
	if _, err := redisbackend.Look(func(context.Context, ...any) (any, error) { return nil, nil })(t.Context()); err == nil {
		t.Error("no error without a list")
	}
}

// Whatever a client sends, the stand-in doesn't panic.
func FuzzCommands(f *testing.F) {
	s, err := redisbackend.Start(backends.Options{MaxDelay: time.Millisecond})
	if err != nil {
		f.Fatal(err)
	}
	defer s.Close()
	for _, seed := range []string{"*0\r\n", "*1\r\n$4\r\nPING\r\n", command("HELLO", "3", "AUTH", "a"), command("CLIENT"), command("SELECT", "99"), command("INFO", "x"), command("COMMAND", "COUNT")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sent string) {
		c := backendtest.Talk(t, s.Addr, sent)
		_ = c.CloseWrite()
		_, _ = io.ReadAll(c)
		c.Close()
	})
}

// Whatever a server says is its CLIENT LIST, each session that is seen has the name of a run that stands there.
func FuzzLook(f *testing.F) {
	for _, list := range []string{
		"id=3 addr=127.0.0.1:1 name=gotimeout-run=lab-7 flags=b cmd=blpop\nid=4 name=gotimeout-run=idle flags=N\n", "", "id= name= flags=\n", "id=9223372036854775808 name=gotimeout-run=a flags=b",
		"id=1 id=2 name=gotimeout-run= flags=bb", "\x00=\n= =\n",
	} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		s, err := redisbackend.Look(func(context.Context, ...any) (any, error) { return list, nil })(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for run, id := range s.Of {
			if !strings.Contains(list, "name=gotimeout-run="+run) || strings.ContainsAny(run, " \n") {
				t.Errorf("%q has the session %d of the run %q", list, id, run)
			}
		}
	})
}
