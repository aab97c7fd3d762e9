package slowops_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"gotimeout/slowops"
)

// fakeCache returns an op on a server that answers each get with the text of answer(key).
func fakeCache(t *testing.T, answer func(key string) string) *slowops.Cache {
	t.Helper()
	cache := slowops.NewCache(serve(t, func(c net.Conn) {
		for lines := bufio.NewScanner(c); lines.Scan(); {
			_, key, _ := strings.Cut(lines.Text(), " ")
			if _, err := io.WriteString(c, answer(key)); err != nil {
				return
			}
		}
	}))
	t.Cleanup(cache.Close)
	return cache
}

func item(key string) string { return fmt.Sprintf("VALUE %s 0 2\r\nhi\r\nEND\r\n", key) }

// The cancel and the answer of a call race. Whichever is first, the next call must meet
// neither the answer nor the deadline of the cancelled call.
func TestCacheCancelRacesWithTheAnswer(t *testing.T) {
	cancels := make(chan context.CancelFunc, 1)
	cache := fakeCache(t, func(key string) string {
		select {
		case cancel := <-cancels:
			go cancel()
		default:
		}
		return item(key)
	})
	var answered, cut int
	for i := range 1000 {
		ctx, cancel := context.WithCancel(t.Context())
		cancels <- cancel
		err := cache.Do(ctx, slowops.Call{Run: fmt.Sprint("cancelled-", i)})
		switch {
		case err == nil:
			answered++
		case errors.Is(err, context.Canceled):
			cut++
		default:
			t.Fatalf("call %d: %v", i, err)
		}
		if err := cache.Do(t.Context(), slowops.Call{Run: fmt.Sprint("next-", i)}); err != nil {
			t.Fatalf("the call after call %d: %v", i, err)
		}
		cancel()
	}
	t.Logf("%d answered, %d cut", answered, cut)
}

func TestCacheAnswers(t *testing.T) {
	const oops = "SERVER_ERROR out of memory"
	for name, tt := range map[string]struct {
		answer string
		err    string // a part of the error; "" is no error
		closed int32
	}{
		"item":            {answer: item("delay/0s/tag")},
		"miss":            {answer: "END\r\n"},
		"another's item":  {answer: item("delay/0s/other"), err: "poisoned", closed: 1},
		"server error":    {answer: oops + "\r\n", err: oops, closed: 1},
		"client error":    {answer: "CLIENT_ERROR bad\r\n", err: "CLIENT_ERROR bad", closed: 1},
		"unknown command": {answer: "ERROR\r\n", err: "ERROR", closed: 1},
	} {
		t.Run(name, func(t *testing.T) {
			cache := fakeCache(t, func(key string) string {
				if key != "delay/0s/tag" {
					return item(key)
				}
				return tt.answer
			})
			seen, next := new(hooks), new(hooks)
			err := cache.Do(t.Context(), seen.on(slowops.Call{Run: "tag"}))
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("%v; want %q", err, tt.err)
			}
			seen.want(t, 1, 0, tt.closed)
			if err := cache.Do(t.Context(), next.on(slowops.Call{Run: "next"})); err != nil {
				t.Error(err)
			}
			next.want(t, tt.closed, 1-tt.closed, 0)
		})
	}
}

// The server answers each get with the item of the get before, as on a connection
// that came from a pool while an answer was still on its way.
func TestCacheWrongAnswer(t *testing.T) {
	answers := make(chan string, 1)
	answers <- item("delay/0s/before")
	cache := fakeCache(t, func(key string) string {
		answer := <-answers
		answers <- item(key)
		return answer
	})
	before := "before"
	for _, c := range []slowops.Call{{Run: "aware"}, {Run: "deaf", Deaf: true}, {Run: "bounded", IOTimeout: patience, ReadTimeout: patience}} {
		seen := new(hooks)
		err := cache.Do(t.Context(), seen.on(c))
		if code(err) != "wrong_answer" || !strings.Contains(err.Error(), "got \"delay/0s/"+before) {
			t.Errorf("%s: %s: %v", c.Run, code(err), err)
		}
		seen.want(t, 1, 0, 1) // the connection must not be reused
		before = c.Run
	}
}

// gomemcache has a default timeout of 500 ms; the op sets it aside.
func TestCacheHasNoHiddenTimeout(t *testing.T) {
	t.Parallel()
	s := pooled(t, 0)["cache"]
	took, err := timed(t.Context(), s.do, s.call("slow", 7*short))
	if err != nil || took < 7*short {
		t.Errorf("%v after %s", err, took)
	}
}

// A name that cannot be looked up is an error, and so is a bad key. Neither holds a connection.
func TestCacheBadInput(t *testing.T) {
	cache := fakeCache(t, item)
	if err := cache.Do(t.Context(), slowops.Call{Run: "with space"}); err == nil {
		t.Error("a key with a space: no error")
	}
	nowhere := slowops.NewCache("no-port")
	defer nowhere.Close()
	took, err := timed(t.Context(), nowhere.Do, slowops.Call{IOTimeout: time.Minute})
	if err == nil || took > patience {
		t.Errorf("%v after %s", err, took)
	}
}
