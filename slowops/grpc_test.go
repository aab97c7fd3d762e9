package slowops_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/backends"
	grpcbackend "gotimeout/internal/backends/grpc"
	"gotimeout/slowops"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Calls share a connection, and a context that ends takes its stream alone.
func TestGRPCCallsShareAConnection(t *testing.T) {
	s := shared(t)
	one, two, three := new(hooks), new(hooks), new(hooks)
	result := make(chan error, 1)
	c := one.on(s.call("one", long))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { result <- s.do(ctx, c) }()
	eventually(t, "began", func() bool { return s.began.has("one") })
	if err := cancelledAtWork(t, s, two.on(s.call("two", long))); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := s.do(t.Context(), three.on(s.call("three", 0))); err != nil {
		t.Error(err)
	}
	two.want(t, 0, 1, 0)
	three.want(t, 0, 1, 0)
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) || !strings.HasPrefix(code(err), "none") {
		t.Error(code(err))
	}
	one.want(t, 1, 0, 0)
	if n := s.relay.acceptedSoFar(); n != 1 {
		t.Errorf("the server accepted %d connections", n)
	}
}

// A connection that ends under calls was closed once, and fails each of them by its name.
func TestGRPCConnectionEndsUnderItsCalls(t *testing.T) {
	began := new(runs)
	server, err := grpcbackend.Start(backends.Options{MaxDelay: long, Began: began.begin})
	if err != nil {
		t.Fatal(err)
	}
	op := slowops.NewGRPC(server.Addr)
	t.Cleanup(op.Close)
	seen, results := new(hooks), make(chan error, 2)
	for _, run := range []string{"a", "b"} {
		go func() { results <- op.Do(t.Context(), seen.on(slowops.Call{Run: run, Delay: long})) }()
		eventually(t, "began", func() bool { return began.has(run) })
	}
	_ = server.Close()
	for range cap(results) {
		if got := code(<-results); got != "unexpected_eof" && got != "connection_reset" {
			t.Error(got)
		}
	}
	eventually(t, "Closed", func() bool { return seen.closed.Load() == 1 })
	seen.want(t, 1, 1, 1)
}

// A call with a ConnectTimeout has a connection of its own, which it closes.
func TestGRPCConnectTimeoutHasAConnectionOfItsOwn(t *testing.T) {
	s := shared(t)
	for range 2 {
		seen := new(hooks)
		c := s.call("own", 0)
		c.ConnectTimeout = patience
		c.Kept = func() { t.Error("a connection of one call is kept") }
		if err := s.do(t.Context(), seen.on(c)); err != nil {
			t.Error(err)
		}
		eventually(t, "Closed", func() bool { return seen.closed.Load() == 1 })
		seen.want(t, 1, 0, 1)
	}
	silent := slowops.NewGRPC(serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }))
	t.Cleanup(silent.Close)
	took, err := timed(t.Context(), silent.Do, slowops.Call{ConnectTimeout: short})
	if code(err) != "connect_timeout" || took < short || took > patience {
		t.Errorf("%v after %s: the timeout is until the server's first frame", err, took)
	}
}

// grpcServer starts a server that answers every method by do.
func grpcServer(t *testing.T, do func(context.Context, grpc.ServerStream) error, options ...grpc.ServerOption) (addr string) {
	t.Helper()
	options = append(options, grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error { return do(s.Context(), s) }))
	return served(t, grpc.NewServer(options...))
}

func served(t *testing.T, server *grpc.Server) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// An aware call sends its deadline, a deaf one none, and both their tags and trace contexts.
func TestGRPCDeadlineCrosses(t *testing.T) {
	deadlines := make(chan time.Duration, 1)
	addr := grpcServer(t, func(ctx context.Context, s grpc.ServerStream) error {
		at, there := ctx.Deadline()
		if !there {
			at = time.Now()
		}
		deadlines <- time.Until(at).Round(time.Minute)
		for key, want := range map[string]string{"gotimeout-run": "a-1", "traceparent": "00-1-1-01"} {
			if got := metadata.ValueFromIncomingContext(ctx, key); !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %q", key, got)
			}
		}
		_ = s.RecvMsg(new(durationpb.Duration))
		return s.SendMsg(new(emptypb.Empty))
	})
	op := slowops.NewGRPC(addr)
	t.Cleanup(op.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for _, tt := range []struct {
		ctx  context.Context
		call slowops.Call
		want time.Duration
	}{
		{ctx, slowops.Call{}, time.Hour},
		{ctx, slowops.Call{IOTimeout: 10 * time.Minute}, 10 * time.Minute},
		{ctx, slowops.Call{Deaf: true}, 0},
		{ctx, slowops.Call{Deaf: true, IOTimeout: 10 * time.Minute}, 10 * time.Minute},
		{ctx, slowops.Call{Deaf: true, Limit: 20 * time.Minute}, 20 * time.Minute},
		{t.Context(), slowops.Call{}, 0},
	} {
		tt.call.Run, tt.call.Traceparent = "a-1", "00-1-1-01"
		if err := op.Do(tt.ctx, tt.call); err != nil {
			t.Fatal(err)
		}
		if got := <-deadlines; got != tt.want {
			t.Errorf("%+v: the server's deadline is in %s, want %s", tt.call, got, tt.want)
		}
	}
}

// A DEADLINE_EXCEEDED that the server returns by itself is no timeout of the call's.
func TestGRPCServersOwnDeadline(t *testing.T) {
	op := slowops.NewGRPC(grpcServer(t, func(context.Context, grpc.ServerStream) error {
		return status.Error(codes.DeadlineExceeded, "the server's own")
	}))
	t.Cleanup(op.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for _, c := range []slowops.Call{{}, {IOTimeout: time.Minute}} {
		err := op.Do(ctx, c)
		var failure *slowops.Failure
		if isTimeout(err) || errors.As(err, &failure) || !strings.Contains(err.Error(), "the server's own") {
			t.Errorf("%v", err)
		}
	}
}

// lateContext is done later than at its deadline.
type lateContext struct {
	context.Context
	at time.Time
}

func (c lateContext) Deadline() (time.Time, bool) { return c.at, true }

// A server, or a proxy before it, may keep the deadline a moment before the call does. Whatever comes
// then, the call was cut by its context.
func TestGRPCServerKeepsTheDeadlineFirst(t *testing.T) {
	proxy := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(3 * short)
		w.WriteHeader(http.StatusBadGateway)
	}))
	proxy.Config.Protocols = new(http.Protocols)
	proxy.Config.Protocols.SetUnencryptedHTTP2(true)
	proxy.Start()
	t.Cleanup(proxy.Close)
	op := slowops.NewGRPC(proxy.Listener.Addr().String())
	t.Cleanup(op.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 20*short)
	defer cancel()
	if err := op.Do(lateContext{ctx, time.Now().Add(2 * short)}, slowops.Call{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// The certificate is that of the server's name, wherever Via leads.
func TestGRPCOverTLS(t *testing.T) {
	pair, roots := certificate(t)
	addr := grpcServer(t, func(_ context.Context, s grpc.ServerStream) error {
		_ = s.RecvMsg(new(durationpb.Duration))
		return s.SendMsg(new(emptypb.Empty))
	}, grpc.Creds(credentials.NewServerTLSFromCert(&pair)))
	op := slowops.NewGRPC(elsewhere + ":443")
	t.Cleanup(op.Close)
	op.Via, op.TLS = addr, &tls.Config{RootCAs: roots}
	seen := new(phases)
	if err := op.Do(t.Context(), seen.on(slowops.Call{})); err != nil {
		t.Fatal(err)
	}
	seen.want(t, "grpc dial, grpc tls, grpc request, grpc first_byte, grpc body")
	stranger := slowops.NewGRPC(elsewhere + ":443")
	t.Cleanup(stranger.Close)
	stranger.Via, stranger.TLS = addr, new(tls.Config)
	seen = new(phases)
	if err := stranger.Do(t.Context(), seen.on(slowops.Call{})); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
	seen.want(t, "grpc dial, grpc tls!")
}

// ownGRPC returns an own call.
func ownGRPC(t *testing.T, addr, method, body string) *slowops.GRPC {
	op := slowops.NewGRPC(addr)
	op.Method, op.Body = method, body
	t.Cleanup(op.Close)
	return op
}

// The server's reflection describes an own method.
func TestOwnMethod(t *testing.T) {
	began := new(runs)
	addr := backend(t, grpcbackend.Start, began)
	own := ownGRPC(t, addr, "gotimeout.Slow/Delay", `"0.1s"`)
	if err := own.Describe(t.Context()); err != nil {
		t.Fatal(err)
	}
	took, err := timed(t.Context(), own.Do, slowops.Call{Run: "a-1", Delay: time.Hour})
	if err != nil || took < short || !began.has("a-1") {
		t.Errorf("%v after %s", err, took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	late := ownGRPC(t, addr, "gotimeout.Slow/Delay", `"300s"`)
	if err := late.Do(ctx, slowops.Call{}); !errors.Is(err, context.DeadlineExceeded) || err.Error() != "grpc: context deadline exceeded" {
		t.Errorf("cut by its context: %v", err)
	}
	streamed := ownGRPC(t, addr, "grpc.health.v1.Health/Watch", "") // never ends by itself
	err = cancelledAfterAnswer(t, streamed)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a stream: %v", err)
	}
	for method, want := range map[string]string{
		"gotimeout.Slow/None {}":                                      "grpc: the service gotimeout.Slow has no method None",
		"no.Service/Delay {}":                                         "grpc: the server's reflection does not know the service no.Service",
		"google.protobuf.Empty/Delay {}":                              "grpc: the server's reflection does not know the service google.protobuf.Empty",
		"gotimeout.Slow/Delay {\"" + planted + "\": 1}":               "grpc: the body is no google.protobuf.Duration in JSON (line 1:1)",
		"grpc.health.v1.Health/Check {\"" + planted + "\": 1}":        "grpc: the body is no grpc.health.v1.HealthCheckRequest in JSON (line 1:2)",
		"gotimeout.Slow/Delay \"3600000s\"":                           "grpc: code InvalidArgument of the server, whose text is left out as it may quote the call",
		"grpc.reflection.v1.ServerReflection/ServerReflectionInfo {}": "grpc: the method ServerReflectionInfo takes a stream of requests, and an own call sends one",
	} {
		method, body, _ := strings.Cut(method, " ")
		if err := ownGRPC(t, addr, method, body).Do(t.Context(), slowops.Call{}); err == nil || err.Error() != want || strings.Contains(fmt.Sprintf("%+v", err), planted) {
			t.Errorf("%s %s: %v, want %s", method, body, err, want)
		}
	}
}

// cancelledAfterAnswer cancels a call when the first answer is there.
func cancelledAfterAnswer(t *testing.T, op *slowops.GRPC) error {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := slowops.Call{}
	c.Phase = func(_, name string) func(error) {
		if name == "body" {
			cancel()
		}
		return func(error) {}
	}
	return op.Do(ctx, c)
}

// A server may have the reflection by its earlier name, or none.
func TestOwnMethodByOtherReflections(t *testing.T) {
	const none = "grpc: the server has no reflection, which describes an own method: register google.golang.org/grpc/reflection there"
	for want, register := range map[string]func(*grpc.Server){
		"": func(s *grpc.Server) {
			grpc_reflection_v1alpha.RegisterServerReflectionServer(s, reflection.NewServer(reflection.ServerOptions{Services: s}))
		},
		none: func(*grpc.Server) {},
	} {
		server := grpc.NewServer()
		grpc_health_v1.RegisterHealthServer(server, health.NewServer())
		register(server)
		err := ownGRPC(t, served(t, server), "grpc.health.v1.Health/Check", "{}").Do(t.Context(), slowops.Call{})
		if text(err) != want {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
