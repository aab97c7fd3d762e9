//go:build linux

package drivers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/private/privatetest"
	"gotimeout/internal/badnet/probe"

	"go.uber.org/goleak"
)

// refused is the reason to skip the tests that need a private network, or nil.
var refused error

// TestMain runs the tests in a private network, where the system allows one.
func TestMain(m *testing.M) {
	refused = privatetest.Enter()
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}

// The packets of a program don't change what the calibration measures, though under
// jitter each packet could hold up the probes behind it.
func TestCalibrateBesideABusyProgram(t *testing.T) {
	if refused != nil {
		t.Skip(refused)
	}
	p, err := badnet.Parse("delay=100ms jitter=25ms,normal")
	if err != nil {
		t.Fatal(err)
	}
	l, err := OpenLoopback(badnet.Auto, p, 1)
	if err != nil {
		t.Skip(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	defer busy(t)()
	var measured []float64
	for range 5 { // a busy machine makes some longer
		if err := l.Calibrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		ms := *l.measured.RoundTripP50
		if ms >= 170 && ms <= 230 { // behind the program's packets: 236 to 274
			return
		}
		measured = append(measured, ms)
	}
	t.Errorf("%g ms for 200 (%s)", measured, l.Summary())
}

// A program changes the loopback that it is on, and gets the profile before.
func TestChange(t *testing.T) {
	if refused != nil {
		t.Skip(refused)
	}
	if _, err := Change("none"); OnLoopback() || err == nil {
		t.Errorf("a change without a loopback: %v", err)
	}
	was, then := badnet.Profile{}, badnet.Profile{Up: badnet.Link{Delay: 300 * time.Millisecond}}
	l, err := OpenLoopback(badnet.Auto, was, 1)
	if err != nil {
		t.Skip(err)
	}
	defer func() {
		if err := l.Close(); err != nil || OnLoopback() {
			t.Error("the loopback is still there, or", err)
		}
	}()
	if before, err := Change(then.String()); err != nil || before != was.String() || !OnLoopback() {
		t.Errorf("%v, %v", before, err)
	}
	began := time.Now()
	conn, err := net.Dial("tcp", l.echo.Addr())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if took := time.Since(began); took < then.Up.Delay {
		t.Errorf("a dial took %s over %s", took, then)
	}
	// The profile of the start is no longer there to be measured.
	if err := l.Calibrate(t.Context()); err != nil || l.measured != nil {
		t.Errorf("%v, %v", l.measured, err)
	}
	if before, err := Change(was.String()); err != nil || before != then.String() {
		t.Errorf("%v, %v", before, err)
	}
	if s := l.Summary(); !strings.Contains(s, "not measured, the command changed it before; 2 changes; ") {
		t.Error(s)
	}
}

// withoutPackets is a driver that takes every plan: a process opens the TUN once.
type withoutPackets struct{}

func (withoutPackets) Apply(badnet.Plan) error        { return nil }
func (withoutPackets) Totals() (badnet.Totals, error) { return badnet.Totals{}, nil }
func (withoutPackets) Close() error                   { return nil }

// loopbackWithoutPackets is a Loopback as OpenLoopback makes it.
func loopbackWithoutPackets(t *testing.T, p badnet.Profile) *Loopback {
	t.Helper()
	e, err := probe.NewEcho(probe.Lanes)
	if err != nil {
		t.Fatal(err)
	}
	l := &Loopback{Profile: p, present: p, echo: e, packets: withoutPackets{}}
	l.first, l.another = context.WithCancel(t.Context())
	if l.control, err = net.Listen("unix", control); err != nil {
		t.Fatal(err)
	}
	l.served.Go(l.serve)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// A change is taken back also where the profile before has a trace, and no program names a file.
func TestChangeFromATrace(t *testing.T) {
	if refused != nil {
		t.Skip(refused)
	}
	file := filepath.Join(t.TempDir(), "trace")
	if err := os.WriteFile(file, []byte("1\n2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	was, err := badnet.ParseWithFiles("trace=" + file)
	if err != nil {
		t.Fatal(err)
	}
	l := loopbackWithoutPackets(t, was)
	before, err := Change("delay=300ms")
	if err != nil || before != was.String() {
		t.Errorf("%s, %v", before, err)
	}
	if _, err := Change("trace=" + file + " delay=1ms"); err == nil {
		t.Error("a program has named a file")
	}
	if _, err := Change(before); err != nil || l.present != was {
		t.Errorf("%s, %v", l.present, err)
	}
}

// busy sends packets in both directions until stop is called.
func busy(t *testing.T) (stop func()) {
	t.Helper()
	to, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	from, err := net.Dial("udp", to.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	done, ended := make(chan bool), make(chan bool)
	go func() {
		defer close(ended)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = from.Write([]byte("busy"))
				_, _ = to.WriteTo([]byte("busy"), from.LocalAddr())
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended; from.Close(); to.Close() }
}

// A driver that can't shape so many ports separately gets fewer.
func TestApart(t *testing.T) {
	ports := []uint16{1, 2, 3, 4, 5, 6, 7, 8}
	broken := errors.New("broken")
	for _, test := range []struct {
		room, least, want int
		err               error
	}{{8, 0, 8, nil}, {7, 0, 4, nil}, {1, 0, 1, nil}, {0, 0, 0, nil}, {0, 1, 1, badnet.ErrCannot}, {-1, 0, 8, broken}} {
		got, err := Apart(ports, test.least, func(ports []uint16) error {
			switch {
			case test.room < 0:
				return broken
			case len(ports) > test.room:
				return fmt.Errorf("so many: %w", badnet.ErrCannot)
			}
			return nil
		})
		if len(got) != test.want || !errors.Is(err, test.err) {
			t.Errorf("room for %d, at least %d: %d ports, %v; want %d, %v", test.room, test.least, len(got), err, test.want, test.err)
		}
	}
}

func TestNames(t *testing.T) {
	for _, test := range []struct{ got, want []string }{
		{Names(), []string{"auto", "netem", "tun", "proxy", "none"}},
		{BadNames(), []string{"auto", "netem", "tun", "proxy"}},
		{PacketNames(), []string{"auto", "netem", "tun"}},
	} {
		if !slices.Equal(test.got, test.want) {
			t.Errorf("%v, want %v", test.got, test.want)
		}
	}
}
