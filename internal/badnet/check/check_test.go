package check

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/private/privatetest"
	"gotimeout/internal/badnet/proxy"

	"go.uber.org/goleak"
)

// noPrivate is why the tests are not in a private network.
var noPrivate error

func TestMain(m *testing.M) {
	noPrivate = privatetest.Enter()
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // what serves the private network goes on
}

// perfect returns the measurement of a driver that does exactly what the profile asks for.
func perfect(p badnet.Profile) measurement {
	s := scheduleOf(p)
	times := func(d time.Duration, n int) sample {
		if back(p) == 0 {
			return sample{sent: n}
		}
		return sample{n, slices.Repeat([]time.Duration{d}, n)}
	}
	of := func(l badnet.Link) (w way) {
		const n = 10_000
		arrived := int(n * (1 - l.Loss))
		w.packets = counts{
			sent: n, arrived: arrived,
			copies: int(float64(arrived) * l.Duplicate), overtook: int(float64(arrived) * l.Reorder),
			delays: slices.Repeat([]time.Duration{l.Delay + lasts(tinyPacket, l.Rate)}, arrived),
		}
		w.rate = rateTest{bits: float64(l.Rate), between: testTime}
		return w
	}
	six := s.over6(p)
	m := measurement{dials: times(s.dial, s.dials), trips: times(s.trip, s.probes), up: of(p.Up), down: of(p.Down)}
	m.six.dials, m.six.trips = times(six.dial, six.dials), times(six.trip, six.probes)
	return m
}

func outside(p badnet.Profile, m measurement) (names []string) {
	for _, f := range judge(p, m) {
		if f.Verdict() == Outside {
			names = append(names, strings.TrimSpace(f.What+" "+f.Way))
		}
	}
	return names
}

func TestJudgeCheck(t *testing.T) {
	parse := func(text string) badnet.Profile {
		p, err := badnet.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for asked, others := range map[string]map[string]string{ // the profile that is there instead: the figures that are outside
		"none":                {"none": "", "delay=1ms": "dial, round trip, dial ::1, round trip ::1", "delay=400us": ""},
		"delay=50ms":          {"delay=51ms": "", "delay=52ms": "dial, round trip, dial ::1, round trip ::1", "delay=50ms loss=1%": "loss up, loss down", "blackhole": "dial, round trip, dial ::1, round trip ::1, loss up, loss down"},
		"up.delay=50ms":       {"up.delay=50ms": "", "down.delay=50ms": "delay up, delay down"},
		"blackhole":           {"blackhole": "", "lossy": "dial, round trip, dial ::1, round trip ::1, loss up, loss down"},
		"loss=5%":             {"loss=5.8%": "", "loss=6.5%": "loss up, loss down", "up.loss=5%": "loss down"},
		"loss=5%,burst=10":    {"loss=7%": "", "loss=10%": "loss up, loss down"},
		"rate=10mbit":         {"rate=9.9mbit": "", "rate=9.7mbit": "rate up, rate down"},
		"delay=20ms":          {"delay=20ms duplicate=1%": "duplicates up, duplicates down", "delay=20ms reorder=1%": "reordered up, reordered down"},
		"delay=30ms loss=99%": {"delay=30ms loss=99%": ""},
	} {
		for there, want := range others {
			if got := strings.Join(outside(parse(asked), perfect(parse(there))), ", "); got != want {
				t.Errorf("asked for %s, got %s: outside are %q, want %q", asked, there, got, want)
			}
		}
	}
	for _, preset := range badnet.Presets() {
		if got := outside(preset.Profile, perfect(preset.Profile)); got != nil {
			t.Errorf("%s: outside are %q", preset.Name, got)
		}
	}
}

// ::1 alone may be another network, or not be there, which is no fault of the network.
func TestJudgeIPv6(t *testing.T) {
	for _, text := range []string{"delay=50ms", "blackhole", "3g", "loss=5%", "delay=50ms jitter=10ms"} {
		p, err := badnet.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		m := perfect(p)
		m.six = perfect(badnet.Profile{}).six
		mean := ""
		if scheduleOf(p).vague {
			mean = " (mean)"
		}
		want := "dial ::1" + mean + ", round trip ::1" + mean
		if p.RoundTrip() == 0 && back(p) > 0 {
			want = ""
		}
		if got := strings.Join(outside(p, m), ", "); got != want {
			t.Errorf("%s, ::1 is good: outside are %q, want %q", text, got, want)
		}
		m.six = measurement{}.six
		c := &Check{Driver: "tun", Profile: p, Figures: judge(p, m)}
		var got map[string]any
		line, err := c.MarshalJSON()
		if err == nil {
			err = json.Unmarshal(line, &got)
		}
		measured, there := got["dial_ipv6_measured_ms"]
		if err != nil || !there || measured != nil || got["dial_ipv6_verdict"] != "not judged" || got["ok"] != true {
			t.Errorf("%s, there is no ::1: %s, %v", text, line, err)
		}
		for _, f := range c.Figures {
			if strings.Contains(f.What, "::1") && (f.MeasuredText() != "-" || f.VerdictText() != "not judged: there is no ::1 here") {
				t.Errorf("%s: %s, %s, %s", text, f.What, f.MeasuredText(), f.VerdictText())
			}
		}
	}
}

// A rate that the machine can't send, and packets that it can't receive, are no fault of the network.
func TestJudgeCheckOfTheNetworkAlone(t *testing.T) {
	l := badnet.Link{Rate: 1e12}
	p := badnet.Profile{Up: l, Down: l}
	m := perfect(p)
	m.up.rate = rateTest{bits: 1e9, between: testTime, note: "only 2 Gbit/s were sent"}
	m.down.packets.arrived /= 2
	m.down.packets.overflow = m.down.packets.arrived
	if got := outside(p, m); got != nil {
		t.Errorf("outside are %q", got)
	}
}

func TestOvertakers(t *testing.T) {
	for want, order := range [][]int{nil, {0, 2, 1, 3}, {2, 1, 0, 3}, {1, 0, 5, 2, 4, 3}} {
		if got := overtakers(order); got != want {
			t.Errorf("%v: %d overtook, want %d", order, got, want)
		}
	}
}

// A proxy needs no rights, so this test runs on any machine.
func TestCheckProxy(t *testing.T) {
	p, err := badnet.Parse("delay=20ms up.rate=4mbit")
	if err != nil {
		t.Fatal(err)
	}
	check, err := Proxy(t.Context(), p, "a test asks for it")
	if err != nil {
		t.Fatal(err)
	}
	var what []string
	for _, f := range check.Figures {
		what = append(what, strings.TrimSpace(f.What+" "+f.Way))
	}
	const want = "dial, round trip, round trip p99, rate up, throughput down"
	if got := strings.Join(what, ", "); got != want {
		t.Errorf("measured %s, want %s", got, want)
	}
	trip := check.Figures[1]
	if trip.Measured == nil || *trip.Measured < 39 || *trip.Measured > 5000 {
		t.Errorf("round trip: %s", trip.MeasuredText())
	}
}

// The check finds a proxy that gives each connection the whole rate.
func TestCheckFindsARateOfEachConnection(t *testing.T) {
	p, err := badnet.Parse("down.rate=4mbit")
	if err != nil {
		t.Fatal(err)
	}
	proxies := proxy.New()
	defer proxies.Close()
	ctx, end := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer end()
	var names atomic.Int64
	front := func(upstream string) (string, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		context.AfterFunc(ctx, func() { l.Close() })
		all.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				name := strconv.FormatInt(names.Add(1), 10)
				addr, err := proxies.Attach(name, upstream)
				if err == nil {
					err = proxies.Apply(name, p)
				}
				if err != nil {
					t.Error(err)
				}
				all.Go(func() { join(conn, addr) })
			}
		})
		return l.Addr().String(), nil
	}
	var f Figure
	for range 3 { // a pause of the machine makes one too low
		got, err := transfer{patience: 3 * time.Second, window: time.Second, front: front}.measure(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if f, _ = rate(p.Down, way{rate: got}); f.Verdict() == Outside && *f.Measured >= 1.1*float64(p.Down.Rate) {
			return
		}
	}
	t.Errorf("the rate is %s: %s", f.MeasuredText(), f.VerdictText())
}

// join joins a connection with a new one to addr until one of the two ends.
func join(conn net.Conn, addr string) {
	defer conn.Close()
	other, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(other, conn)
		other.Close()
	}()
	_, _ = io.Copy(conn, other)
}
