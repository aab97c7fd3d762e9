package grpcbackend_test

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"gotimeout/internal/backends"
	"gotimeout/internal/backends/backendtest"
	grpcbackend "gotimeout/internal/backends/grpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	delay     = "/gotimeout.Slow/Delay"
	deafDelay = "/gotimeout.Slow/DeafDelay"
	short     = 100 * time.Millisecond
)

// client is a caller whose connection can stop to carry what it sends.
type client struct {
	*grpc.ClientConn
	mute atomic.Bool
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	c := new(client)
	var err error
	c.ClientConn, err = grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
			return muteConn{conn, &c.mute}, err
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

type muteConn struct {
	net.Conn
	mute *atomic.Bool
}

func (c muteConn) Write(p []byte) (int, error) {
	if c.mute.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *client) call(ctx context.Context, method, run string, d time.Duration) error {
	return c.Invoke(metadata.AppendToOutgoingContext(ctx, "gotimeout-run", run), method, durationpb.New(d), new(emptypb.Empty))
}

// start starts a call and waits until the server works on it. The func ends the call's context.
func (c *client) start(t *testing.T, r *backendtest.Runs, timeout time.Duration, method, run string) (cancel func(), done chan error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	done = make(chan error, 1)
	go func() { done <- c.call(ctx, method, run, backendtest.Long) }()
	backendtest.Eventually(t, "began "+run, r.HasBegun(run))
	return cancel, done
}

func TestAnswers(t *testing.T) {
	r := backendtest.NewRuns()
	o := r.Options()
	o.MaxDelay = time.Second
	c := dial(t, backendtest.Start(t, grpcbackend.Start, o).Addr)
	for _, method := range []string{delay, deafDelay} {
		began := time.Now()
		if err := c.call(t.Context(), method, method, short); err != nil || time.Since(began) < short || !r.HasEnded(method)() {
			t.Errorf("%s: %v after %s, ended %t", method, err, time.Since(began), r.HasEnded(method)())
		}
		for d, want := range map[time.Duration]string{
			2 * time.Second: `duration "2s" is over the cap of 1s`, -time.Second: `duration "-1s" is negative`,
		} {
			if err := c.call(t.Context(), method, "refused", d); status.Code(err) != codes.InvalidArgument || status.Convert(err).Message() != want {
				t.Errorf("%s for %s: %v", method, d, err)
			}
		}
	}
	if h, err := grpc_health_v1.NewHealthClient(c).Check(t.Context(), new(grpc_health_v1.HealthCheckRequest)); err != nil || h.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", h, err)
	}
	r.Balanced(t, delay, deafDelay)
}

// A call ends with its caller's deadline or cancel; a deaf one with the server alone.
func TestEndsWithItsCaller(t *testing.T) {
	r := backendtest.NewRuns()
	s := backendtest.Start(t, grpcbackend.Start, r.Options())
	c := dial(t, s.Addr)
	cancel, done := c.start(t, r, backendtest.Long, deafDelay, "deaf") // the first, to be there when the others have ended
	cancel()
	<-done
	_, done = c.start(t, r, 10*short, delay, "deadline")
	if err := <-done; status.Code(err) != codes.DeadlineExceeded {
		t.Error(err)
	}
	cancel, done = c.start(t, r, backendtest.Long, delay, "cancel")
	cancel()
	if err := <-done; status.Code(err) != codes.Canceled {
		t.Error(err)
	}
	for _, run := range []string{"deadline", "cancel"} {
		backendtest.Eventually(t, run+" ends", r.HasEnded(run))
	}
	if jobs := s.Working(); len(jobs) != 1 || jobs[0].Run != "deaf" || jobs[0].Work != deafDelay+" 5m0s" {
		t.Errorf("works on %v", jobs)
	}
	_ = s.Close()
	r.Balanced(t, "deadline", "cancel", "deaf")
}

// The deadline crosses with the request, and ends the work also where nothing more arrives. Through a proxy
// that drops the deadline, the work then goes on.
func TestTheDeadlineNeedsNoNetwork(t *testing.T) {
	r := backendtest.NewRuns()
	s, targets := started(t, r.Options())
	direct, proxied := dial(t, s.Addr), dial(t, targets.Addrs["proxy-no-deadline"])
	for _, call := range []struct {
		run string
		*client
	}{{"proxied", proxied}, {"direct", direct}} {
		_, done := call.start(t, r, 20*short, delay, call.run)
		call.mute.Store(true)
		if err := <-done; status.Code(err) != codes.DeadlineExceeded {
			t.Error(err)
		}
	}
	backendtest.Eventually(t, "the direct call ends", r.HasEnded("direct"))
	if r.HasEnded("proxied")() {
		t.Error("the call without a deadline has ended")
	}
	proxied.Close()
	backendtest.Eventually(t, "the call ends with its connection", r.HasEnded("proxied"))
}

// started starts a server, and the proxies in front of it.
func started(t *testing.T, o backends.Options) (*backends.Server, *grpcbackend.Targets) {
	t.Helper()
	s := backendtest.Start(t, grpcbackend.Start, o)
	targets, err := grpcbackend.StartTargets(o, s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := targets.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, targets
}

// Each proxy answers as the server does, and passes on what its doc says.
func TestProxies(t *testing.T) {
	r := backendtest.NewRuns()
	s, targets := started(t, r.Options())
	var runs []string
	for _, target := range targets.List {
		c := dial(t, targets.Addrs[target.Name])
		if err := c.call(t.Context(), delay, target.Name, 0); err != nil {
			t.Errorf("%s: %v", target.Name, err)
		}
		if err := c.call(t.Context(), delay, target.Name, -1); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", target.Name, err)
		}
		_, done := c.start(t, r, 10*short, delay, target.Name+" deadline")
		<-done
		cancel, done := c.start(t, r, backendtest.Long, delay, target.Name+" cancel")
		cancel()
		<-done
		runs = append(runs, target.Name, target.Name+" deadline", target.Name+" cancel")
	}
	for _, run := range []string{"proxy deadline", "proxy cancel", "proxy-no-cancel deadline", "proxy-no-deadline deadline", "proxy-no-deadline cancel"} {
		backendtest.Eventually(t, run, r.HasEnded(run))
	}
	var goOn []string
	for _, job := range s.Working() {
		goOn = append(goOn, job.Run)
	}
	if want := []string{"proxy-detached deadline", "proxy-detached cancel", "proxy-no-cancel cancel"}; !slices.Equal(goOn, want) {
		t.Errorf("works on %q, want %q", goOn, want)
	}
	_ = targets.Close()
	backendtest.Eventually(t, "the work ends with the proxy", func() bool { return len(s.Working()) == 0 })
	r.Balanced(t, runs...)
}
