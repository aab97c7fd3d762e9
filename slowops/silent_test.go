package slowops_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"gotimeout/slowops"
)

// at returns the ops with connections, for whatever is at addr.
func at(t *testing.T, addr string) map[string]doFunc {
	t.Helper()
	http := slowops.NewHTTP("http://"+addr, 0)
	t.Cleanup(http.Close)
	cache := slowops.NewCache(addr, 0)
	t.Cleanup(cache.Close)
	return map[string]doFunc{"http": http.Do, "cache": cache.Do, "db": newMySQL(t, lab(addr), 0).Do}
}

// A server that accepts and says nothing: MySQL's driver waits in its handshake.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	addr := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for name, do := range at(t, addr) {
		t.Run(name, func(t *testing.T) {
			told := new(hooks)
			took, err := timed(t.Context(), do, told.on(slowops.Call{Deaf: true, IOTimeout: short}))
			if !isTimeout(err) || took < short || took > patience {
				t.Errorf("IOTimeout: %v after %s", err, took)
			}
			eventually(t, "Closed", func() bool { return told.closed.Load() == 1 })
			told.want(t, 1, 0, 1)

			took, err = timed(t.Context(), do, slowops.Call{Deaf: true, Limit: short})
			if err == nil || took < short || took > patience {
				t.Errorf("Limit: %v after %s", err, took)
			}

			told = new(hooks)
			ctx, cancel := context.WithTimeout(t.Context(), short)
			defer cancel()
			took, err = timed(ctx, do, told.on(slowops.Call{}))
			if !errors.Is(err, context.DeadlineExceeded) || took > patience {
				t.Errorf("context: %v after %s", err, took)
			}
			eventually(t, "Closed", func() bool { return told.closed.Load() == 1 })
			told.want(t, 1, 0, 1)
		})
	}
}

// Nobody tries again behind the caller's back.
func TestRefusedAndHungUp(t *testing.T) {
	nobody := listen(t)
	nobody.Close()
	for what, addr := range map[string]string{
		"refused": nobody.Addr().String(),
		"hung up": serve(t, func(net.Conn) {}),
	} {
		for name, do := range at(t, addr) {
			t.Run(what+" "+name, func(t *testing.T) {
				told := new(hooks)
				took, err := timed(t.Context(), do, told.on(slowops.Call{}))
				if err == nil || isTimeout(err) || took > patience {
					t.Errorf("%v after %s", err, took)
				}
				if n := told.dialed.Load(); n != 1 {
					t.Errorf("dialed %d times", n)
				}
			})
		}
	}
}
