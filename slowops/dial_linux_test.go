package slowops_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"gotimeout/slowops"
)

// fullListener returns an address where a dial gets no answer, because the
// queue of those that nobody accepts is full.
func fullListener(t *testing.T) (addr string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(
		syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
		syscall.Listen(fd, 0),
	); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr = (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: at.(*syscall.SockaddrInet4).Port}).String()
	for range 10 {
		c, err := net.DialTimeout("tcp", addr, 2*short)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue is never full")
	return ""
}

func TestDialIsBounded(t *testing.T) {
	t.Parallel()
	for name, do := range at(t, fullListener(t)) {
		t.Run(name, func(t *testing.T) {
			told := new(hooks)
			took, err := timed(t.Context(), do, told.on(slowops.Call{Deaf: true, IOTimeout: short}))
			if !isTimeout(err) || took < short || took > patience {
				t.Errorf("IOTimeout: %v after %s", err, took)
			}
			told.want(t, 1, 0, 0)

			for range 10 { // the socket's deadline and the context's race
				const soon = short / 5
				ctx, cancel := context.WithTimeout(t.Context(), soon)
				took, err = timed(ctx, do, slowops.Call{})
				cancel()
				if !errors.Is(err, context.DeadlineExceeded) || took > patience {
					t.Errorf("context: %v after %s", err, took)
				}
			}
		})
	}
}

// net/http dials on when its request has ended: https://go.dev/issue/59017.
func TestCloseEndsTheDialThatOutlivesItsRequest(t *testing.T) {
	known := goleak.IgnoreCurrent()
	http := slowops.NewHTTP("http://"+fullListener(t), 0)
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	if err := http.Do(ctx, slowops.Call{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if goleak.Find(known) == nil {
		t.Error("the dial ended with its request: net/http has changed")
	}
	http.Close()
	unleaked(t, known)
}

func TestIOTimeoutEndsTheDialToo(t *testing.T) {
	known := goleak.IgnoreCurrent()
	http := slowops.NewHTTP("http://"+fullListener(t), 0)
	if err := http.Do(t.Context(), slowops.Call{IOTimeout: short}); !isTimeout(err) {
		t.Errorf("got %v", err)
	}
	unleaked(t, known) // long before dialTimeout
}

func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	for name, do := range at(t, fullListener(t)) {
		t.Run(name, func(t *testing.T) {
			// Given alone, beside a shorter one between reads, and beside a longer one in all.
			for _, c := range []slowops.Call{
				{ConnectTimeout: short},
				{ConnectTimeout: short, ReadTimeout: short / 10, IOTimeout: patience},
				{ConnectTimeout: short, Deaf: true, IOTimeout: patience},
			} {
				told := new(phases)
				took, err := timed(t.Context(), do, told.on(c))
				if code(err) != "connect_timeout" || took < short || took > patience {
					t.Errorf("%+v: %s after %s", c, code(err), took)
				}
				if got := told.String(); got != name+" dial!" && got != "http connect!" {
					t.Errorf("phases %s", got)
				}
				if len(told.outlived) > 0 {
					t.Errorf("a dial with a timeout outlived its call")
				}
			}
		})
	}
}

// A dial that nobody waits for is told of with its remedy, which then works.
func TestDialsThatOutliveTheirRequestAreTold(t *testing.T) {
	http := slowops.NewHTTP("http://"+fullListener(t), 0)
	told := new(phases)
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	if err := http.Do(ctx, told.on(slowops.Call{})); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	told.want(t, "http connect…")
	if len(told.outlived) != 1 || !strings.Contains(told.outlived[0], "CloseIdleConnections") {
		t.Errorf("told %q", told.outlived)
	}
	http.Close() // closes idle connections
	eventually(t, "the dial ended", func() bool { return told.String() == "http connect!" })
}
