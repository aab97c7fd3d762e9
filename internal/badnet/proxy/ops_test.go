package proxy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"gotimeout/internal/backends"
	cachebackend "gotimeout/internal/backends/cache"
	dbbackend "gotimeout/internal/backends/db"
	httpbackend "gotimeout/internal/backends/http"
	"gotimeout/internal/badnet/proxy"
	"gotimeout/slowops"
)

// Each backend of the lab answers through its proxy a round trip later, and
// learns that its client has gone half a round trip later.
func TestBackends(t *testing.T) {
	t.Parallel()
	const oneWay = 100 * ms
	for name, start := range map[string]func(backends.Options) (*backends.Server, error){
		"http": httpbackend.Start, "cache": cachebackend.Start, "db": dbbackend.Start,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began, ended := make(chan bool, 1), make(chan time.Time, 1)
			server, err := start(backends.Options{
				MaxDelay: time.Minute,
				Began:    func(string) { began <- true },
				Ended:    func(string) { ended <- time.Now() },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			proxies := proxy.New()
			defer proxies.Close()
			via, err := proxies.Attach(name, server.Addr)
			if err != nil {
				t.Fatal(err)
			}
			if err := proxies.Apply(name, profile(t, "delay=100ms")); err != nil {
				t.Fatal(err)
			}
			do := op(t, name, server.Addr, via)

			asked := time.Now()
			if err := do(t.Context(), slowops.Call{Run: "first"}); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(asked); took < 2*oneWay {
				t.Errorf("the answer took %s", took)
			}
			<-began
			<-ended
			if name == "db" {
				return // MySQL looks every 5 s whether its client is still there
			}

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var left time.Time
			go func() {
				<-began
				left = time.Now()
				cancel()
			}()
			if err := do(ctx, slowops.Call{Run: "second", Delay: time.Minute}); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			near(t, "that the client has gone", (<-ended).Sub(left), oneWay)
		})
	}
}

// op returns the op of a backend, by way of a proxy.
func op(t *testing.T, name, addr, via string) func(context.Context, slowops.Call) error {
	t.Helper()
	switch name {
	case "http":
		op := slowops.NewHTTP("http://"+addr, 0)
		op.Via = via
		t.Cleanup(op.Close)
		return op.Do
	case "cache":
		op := slowops.NewCache(addr, 0)
		op.Via = via
		t.Cleanup(op.Close)
		return op.Do
	default:
		cfg, err := slowops.ParseDSN("lab@tcp(" + addr + ")/lab")
		if err != nil {
			t.Fatal(err)
		}
		op := slowops.NewMySQL(cfg, 0)
		op.Via = via
		t.Cleanup(op.Close)
		return op.Do
	}
}
