package slowops_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"gotimeout/internal/backends"
	httpbackend "gotimeout/internal/backends/http"
	"gotimeout/slowops"
)

// phases records the phases of a call, in the order in which they began.
type phases struct {
	mu       sync.Mutex
	names    []string
	ends     map[int]error
	outlived []string
	over     int  // of the dials that outlived the call
	early    bool // one of them was over before the phases
}

// on returns c with hooks that record.
func (p *phases) on(c slowops.Call) slowops.Call {
	c.Phase = func(op, name string) func(error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		i := len(p.names)
		p.names = append(p.names, op+" "+name)
		return func(err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.ends == nil {
				p.ends = map[int]error{}
			}
			p.ends[i] = err
		}
	}
	c.Outlived = func(remedy string) func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.outlived = append(p.outlived, remedy)
		return func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.over++
			p.early = p.early || len(p.ends) < len(p.names)
		}
	}
	return c
}

// dialsOver returns how many of the dials that outlived the call have ended.
func (p *phases) dialsOver() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}

// String returns the names in one line, with ! after a phase that failed and … after a
// phase that goes on.
func (p *phases) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var words []string
	for i, name := range p.names {
		err, ended := p.ends[i]
		switch {
		case !ended:
			name += "…"
		case err != nil:
			name += "!"
		}
		words = append(words, name)
	}
	return strings.Join(words, ", ")
}

func (p *phases) want(t *testing.T, want string) {
	t.Helper()
	if got := p.String(); got != want {
		t.Errorf("phases\n%s, want\n%s", got, want)
	}
}

// targets returns the op http with the targets.
func targets(t testing.TB) *slowops.HTTP {
	t.Helper()
	servers, err := httpbackend.StartTargets(backends.Options{MaxDelay: long})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := servers.Close(); err != nil {
			t.Error(err)
		}
	})
	op := slowops.NewHTTP(servers.URLs["ok"], 0)
	op.Targets, op.Roots = servers.URLs, servers.Roots
	t.Cleanup(op.Close)
	return op
}

// code returns the code of an error, and checks that its Timeout method agrees with the code.
func code(err error) string {
	var f *slowops.Failure
	if !errors.As(err, &f) {
		return fmt.Sprintf("none: %v", err)
	}
	if f.Timeout() != strings.HasSuffix(f.Code(), "_timeout") {
		return f.Code() + " whose Timeout method disagrees with the code"
	}
	return f.Code()
}

func TestPhasesOfEachOp(t *testing.T) {
	for name, want := range map[string]struct{ first, next string }{
		"http":     {"http connect, http request, http first_byte, http headers, http body", "http request, http first_byte, http headers, http body"},
		"cache":    {"cache dial, cache write, cache read", "cache write, cache read"},
		"db sleep": {"db dial, db read, db write, db read, db write, db read", "db write, db read"},
		"postgres": {"postgres dial, postgres login, postgres query, postgres result", "postgres query, postgres result"},
		"redis":    {"redis dial, redis hello, redis command, redis answer", "redis command, redis answer"},
		"grpc":     {"grpc dial, grpc request, grpc first_byte, grpc body", "grpc request, grpc first_byte, grpc body"},
	} {
		t.Run(name, func(t *testing.T) {
			s := connected(t)[name]
			for _, want := range []string{want.first, want.next} {
				seen := new(phases)
				if err := s.do(t.Context(), seen.on(s.call("phases", 0))); err != nil {
					t.Fatal(err)
				}
				seen.want(t, want)
			}
		})
	}
}

func TestPhasesOfTargets(t *testing.T) {
	op := targets(t)
	for target, want := range map[string]string{
		"ok-h2":      "http connect, http tls, http request, http first_byte, http headers, http body",
		"silent":     "http connect, http request, http first_byte!",
		"stall":      "http connect, http request, http first_byte, http headers, http body!",
		"stall-h2":   "http connect, http tls, http request, http first_byte, http headers, http body!",
		"slow-tls":   "http connect, http tls!",
		"refused":    "http connect!",
		"half-close": "http connect, http request, http first_byte, http headers, http body!",
	} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			seen := new(phases)
			// Each target has an op, and so a Transport, of its own: no connection is reused.
			_ = op.Do(t.Context(), seen.on(slowops.Call{Target: target, TLSTimeout: 30 * short, ReadTimeout: 40 * short, IOTimeout: patience}))
			seen.want(t, want)
		})
	}
}

// The lookup of a name is a phase, and may fail.
func TestPhasesOfANameAndDNSError(t *testing.T) {
	server := httptest.NewServer(nil)
	defer server.Close()
	op := slowops.NewHTTP(strings.Replace(server.URL, "127.0.0.1", "localhost", 1), 0)
	defer op.Close()
	seen := new(phases)
	_ = op.Do(t.Context(), seen.on(slowops.Call{}))
	if got := seen.String(); !strings.HasPrefix(got, "http dns, http connect") {
		t.Errorf("phases %s", got)
	}
	nowhere := slowops.NewHTTP("http://nowhere.invalid.", 0)
	defer nowhere.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	switch err := nowhere.Do(ctx, slowops.Call{}); {
	case ctx.Err() != nil:
		t.Skipf("the resolver of this machine takes longer than %s", patience)
	case code(err) != "dns_error":
		t.Errorf("got %s", code(err))
	}
}

// The drivers of the cache and the database have a timeout for the dial and
// another for each read.
func TestTimeoutsOfTheDrivers(t *testing.T) {
	t.Parallel()
	for name, s := range bounding(anyPooled)(t) {
		t.Run(name, func(t *testing.T) {
			for _, ctx := range []bool{false, true} {
				c := s.call("read", long)
				c.ReadTimeout, c.IOTimeout, c.Deaf = short, patience, ctx
				took, err := timed(t.Context(), s.do, c)
				if code(err) != "read_timeout" || !errors.Is(err, os.ErrDeadlineExceeded) || took < short || took > patience {
					t.Errorf("deaf %t: %s after %s", ctx, code(err), took)
				}
			}
		})
	}
}

// A call that a strategy cancels has no error code of its own.
func TestNoCodeForTheStrategysTimeout(t *testing.T) {
	t.Parallel()
	op := targets(t)
	for _, target := range []string{"silent", "stall", "slow-tls", "silent-h2"} {
		ctx, cancel := context.WithTimeout(t.Context(), short)
		err := op.Do(ctx, slowops.Call{Target: target})
		cancel()
		var f *slowops.Failure
		if errors.As(err, &f) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", target, err)
		}
	}
}

// A read timeout bounds the time between two reads: a drip, whose bytes are closer
// together, never exceeds it. The timeout doesn't apply to the next call.
func TestReadTimeoutIsBetweenTwoReads(t *testing.T) {
	t.Parallel()
	op := targets(t)
	for _, target := range []string{"drip", "drip-h2"} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			took, err := timed(t.Context(), op.Do, slowops.Call{Target: target, Delay: 30 * short, ReadTimeout: 25 * short})
			if err != nil || took < 30*short {
				t.Errorf("%v after %s", err, took)
			}
			if err := op.Do(t.Context(), slowops.Call{Target: target, Delay: short}); err != nil {
				t.Errorf("the next call: %v", err)
			}
		})
	}
}

// A hook may be called long after its call has returned.
func TestPhasesAfterTheCall(t *testing.T) {
	op := targets(t)
	seen := make([]phases, 20)
	var all sync.WaitGroup
	for i := range seen {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Millisecond/4)
			defer cancel()
			target := []string{"ok-h2", "slow-tls", "ok", "silent"}[i%4]
			_ = op.Do(ctx, seen[i].on(slowops.Call{Target: target, Delay: short}))
		})
	}
	all.Wait()
	op.Close()
	for i := range seen {
		eventually(t, "each phase ended", func() bool { return !strings.Contains(seen[i].String(), "…") })
	}
}
