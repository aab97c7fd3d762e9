package slowops_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"

	redisbackend "gotimeout/internal/backends/redis"
	"gotimeout/slowops"
)

func newRedis(t *testing.T, url string) *slowops.Redis {
	t.Helper()
	opt, err := slowops.ParseRedis(url)
	if err != nil {
		t.Fatal(err)
	}
	op := slowops.NewRedis(opt)
	t.Cleanup(op.Close)
	return op
}

var deadlineOn = map[string]string{"deadline": slowops.DeadlineOn}

// deadline returns do with a context whose deadline bounds the call.
func deadline(do doFunc) doFunc {
	return func(ctx context.Context, c slowops.Call) error {
		c.Params = deadlineOn
		return do(ctx, c)
	}
}

// redisSubject has no runs: the tests that cancel a call at work leave redis out, which no cancel ends.
func redisSubject(t *testing.T, at *relay) subject {
	t.Helper()
	op := newRedis(t, "redis://"+at.addr)
	return subject{do: deadline(op.Do), relay: at, setMaxIdle: op.SetMaxIdle}
}

// realRedis is the op on the real server, by a relay.
func realRedis(t *testing.T) subject {
	t.Helper()
	u, err := url.Parse(realServer(t, "REDIS_URL"))
	if err != nil {
		t.Fatal(err)
	}
	return redisSubject(t, startRelay(t, u.Host))
}

// redisServers are the stand-in and the real server.
var redisServers = map[string]func(*testing.T) string{
	"embedded": func(t *testing.T) string { return "redis://" + backend(t, redisbackend.Start, new(runs)) },
	"real":     func(t *testing.T) string { return realServer(t, "REDIS_URL") },
}

// Without deadline=on neither a deadline nor a cancel ends a call in flight; with it a deadline does
// (https://github.com/redis/go-redis/issues/2682). Neither ends a call where the context had ended before.
func TestRedisContexts(t *testing.T) {
	t.Parallel()
	const delay = 10 * short
	for place, url := range redisServers {
		t.Run(place, func(t *testing.T) {
			op := newRedis(t, url(t))
			if err := op.Do(t.Context(), slowops.Call{Run: "first"}); err != nil { // a context bounds the wait for a dial
				t.Fatal(err)
			}
			for _, tt := range []struct {
				deadline, end string
				cut           bool
			}{
				{slowops.DeadlineOff, "deadline", false}, {slowops.DeadlineOff, "cancel", false},
				{slowops.DeadlineOn, "deadline", true}, {slowops.DeadlineOn, "cancel", false},
			} {
				ctx, cancel := context.WithCancel(t.Context())
				if tt.end == "deadline" {
					ctx, cancel = context.WithTimeout(t.Context(), 5*short)
				}
				c := slowops.Call{Run: "context", Delay: delay, Params: map[string]string{"deadline": tt.deadline}}
				c.Phase = func(_, name string) func(error) { // in flight
					if name == "answer" && tt.end == "cancel" {
						cancel()
					}
					return func(error) {}
				}
				took, err := timed(ctx, op.Do, c)
				cancel()
				switch {
				case tt.cut && !errors.Is(err, context.DeadlineExceeded):
					t.Errorf("deadline=%s, %s: %v after %s", tt.deadline, tt.end, err, took)
				case !tt.cut && (err != nil || took < delay):
					t.Errorf("deadline=%s, %s: %v after %s, want an answer", tt.deadline, tt.end, err, took)
				}
				err = op.Do(ctx, c)
				if !errors.Is(err, ctx.Err()) || !errors.Is(err, slowops.ErrNotSent) {
					t.Errorf("deadline=%s, after the %s: %v", tt.deadline, tt.end, err)
				}
			}
		})
	}
}

// The Limit of a call ends it though go-redis ignores the context, with a connection that is reused too.
func TestRedisLimit(t *testing.T) {
	op := newRedis(t, redisServers["embedded"](t))
	if err := op.Do(t.Context(), slowops.Call{Run: "first"}); err != nil {
		t.Fatal(err)
	}
	seen := new(hooks)
	took, err := timed(t.Context(), op.Do, seen.on(slowops.Call{Run: "limit", Delay: long, Deaf: true, Limit: short}))
	if !errors.Is(err, slowops.ErrLimit) || took < short || took > patience {
		t.Errorf("%v after %s", err, took)
	}
	seen.want(t, 0, 1, 1)
}

func TestRedisTimeouts(t *testing.T) {
	t.Parallel()
	for place, url := range redisServers {
		t.Run(place, func(t *testing.T) {
			op := newRedis(t, url(t))
			for range 2 { // the second with a new connection, as the first was closed
				seen := new(hooks)
				took, err := timed(t.Context(), op.Do, seen.on(slowops.Call{Run: "read", Delay: 30 * short, ReadTimeout: short, IOTimeout: patience}))
				if code(err) != "read_timeout" || took < short || took > patience {
					t.Errorf("%s: %v after %s", code(err), err, took)
				}
				seen.want(t, 1, 0, 1)
			}
		})
	}
}

// A dial goes on when the call has ended, unless a timeout of the call bounds it. Close ends it.
func TestRedisDialsOn(t *testing.T) {
	op := targets(t)
	blackhole, err := url.Parse(op.Targets["blackhole"])
	if err != nil {
		t.Fatal(err)
	}
	client := newRedis(t, "redis://"+blackhole.Host)
	ctx, cancel := context.WithTimeout(t.Context(), 10*short)
	defer cancel()
	seen, conns := new(phases), new(hooks)
	err = client.Do(ctx, conns.on(seen.on(slowops.Call{Run: "dials"})))
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, slowops.ErrNotSent) || len(seen.outlived) != 1 || !strings.Contains(seen.outlived[0], "DialTimeout") {
		t.Errorf("%v, outlived %q", err, seen.outlived)
	}
	seen.want(t, "redis dial…")
	conns.want(t, 1, 0, 0)
	client.Close()
	eventually(t, "the dial has ended", func() bool { return seen.String() == "redis dial!" })

	took, err := timed(t.Context(), newRedis(t, "redis://"+blackhole.Host).Do, slowops.Call{ConnectTimeout: short})
	if code(err) != "connect_timeout" || !errors.Is(err, slowops.ErrNotSent) || took < short {
		t.Errorf("%s: %v after %s", code(err), err, took)
	}
}

// A server that answers with something else has poisoned the connection.
func TestRedisWrongAnswer(t *testing.T) {
	addr := serve(t, func(c net.Conn) {
		for _, answer := range []string{"-ERR unknown command\r\n", "+OK\r\n"} { // to HELLO and to ECHO
			if _, err := c.Read(make([]byte, 1<<10)); err != nil {
				return
			}
			_, _ = c.Write([]byte(answer))
		}
		_, _ = c.Read(make([]byte, 1))
	})
	seen := new(hooks)
	if err := newRedis(t, "redis://"+addr).Do(t.Context(), seen.on(slowops.Call{Run: "wrong"})); code(err) != "wrong_answer" {
		t.Error(err)
	}
	seen.want(t, 1, 0, 1)
}

func TestRedisOwnCommand(t *testing.T) {
	const secret = "PLANTED"
	for place, url := range redisServers {
		t.Run(place, func(t *testing.T) {
			op := newRedis(t, url(t))
			for command, want := range map[string]string{
				"PING":                   "",
				"GET gotimeout-no-key":   "",
				"BLPOP gotimeout 0.001":  "",
				secret + " " + secret:    "redis command: an error of the server, whose text is left out as it may quote the command",
				"BLPOP " + secret + " x": "redis command: an error of the server, whose text is left out as it may quote the command",
			} {
				op.Command = strings.Fields(command)
				if err := op.Do(t.Context(), slowops.Call{Delay: long}); text(err) != want {
					t.Errorf("%s: %v, want %q", command, err, want)
				}
			}
		})
	}
	op := newRedis(t, "redis://"+down(t))
	op.Command = []string{"GET", secret}
	if err := op.Do(t.Context(), slowops.Call{}); code(err) != "connection_refused" || strings.Contains(err.Error(), secret) {
		t.Error(err)
	}
}

func TestParseRedis(t *testing.T) {
	const secret = "PLANTED"
	for url, want := range map[string]string{
		"redis://h":                              "h:6379 0",
		"redis://u:" + secret + "@h:1/2":         "h:1 2",
		"rediss://:" + secret + "@h:1":           "h:1 0 TLS",
		"unix:///run/redis.sock?db=3":            "/run/redis.sock 3",
		"redis://h?read_timeout=2s":              "h:6379 0",
		"h:6379":                                 "no readable URL",
		"":                                       "no readable URL",
		"redis://u:" + secret + "/x@h:1":         "no readable URL",
		"redis://u:" + secret + "%@h:1":          "no readable URL",
		"mysql://u:" + secret + "@h:1":           `a URL with scheme "mysql"`,
		"redis://u:" + secret + "@h/" + secret:   "a URL with a path or an option",
		"redis://h?" + secret + "=1":             "a URL with a path or an option",
		"redis://h?dial_timeout=" + secret:       "a URL with a path or an option",
		"redis://u:" + secret + "@h:1,h2:1":      "an address of several hosts",
		"redis://[" + secret + "@":               "no readable URL",
		"redis://u:" + secret + "@h:1/1/" + "23": "a URL with a path or an option",
	} {
		opt, err := slowops.ParseRedis(url)
		if err != nil {
			if !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v, want %s", url, err, want)
			}
			continue
		}
		got := []string{opt.Addr, string(rune('0' + opt.DB))}
		if opt.TLSConfig != nil {
			got = append(got, "TLS")
		}
		if !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}
