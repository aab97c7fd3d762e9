package probe

import (
	"context"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/stats"
)

// Lanes is how many ports an Echo should have, each with a queue of its own: under
// jitter that many probes can be under way at once.
const Lanes = 8

// The bounds of a calibration.
const (
	steadyProbes = 20
	variedProbes = 60 // under jitter
	variedGap    = 10 * time.Millisecond
	minGap       = 2 * time.Millisecond
	budget       = 900 * time.Millisecond
	// attempts is how often a calibration measures where the result says that the
	// machine stood still. The second and third may take twice the budget.
	attempts = 3
)

// Way is the way through a network to an Echo.
type Way struct {
	Driver string // what makes the network bad
	Addr   string // of the Echo, or of a proxy in front of it
	// Apart are the ports of the Echo that have a queue of their own. Without any,
	// probes wait behind all other packets.
	Apart []uint16
}

// Calibrate measures a way: over TCP for the proxy driver, and otherwise over UDP.
// It returns an error where the driver doesn't do what the profile asks for: where
// a probe comes back too early, or none comes back although some must.
func (w Way) Calibrate(ctx context.Context, p badnet.Profile) (*badnet.Calibration, error) {
	e := w.expect(p)
	limit := min(budget, e.all)
	var best *badnet.Calibration
	var failed error
	for range attempts {
		c, trips, err := w.measure(ctx, e, limit)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil {
			err = e.judge(trips)
		}
		switch {
		case err != nil && len(trips) > 0: // too early, which no pause explains
			return nil, fmt.Errorf("the %s driver did not take: %w", w.Driver, err)
		case err != nil:
			failed = fmt.Errorf("the %s driver did not take: %w", w.Driver, err)
		case len(trips) == 0 || stats.Median(trips) <= e.slow:
			return c, nil
		case best == nil || *c.RoundTripP50 < *best.RoundTripP50:
			best = c
		}
		limit = 2 * budget
	}
	if best != nil {
		return best, nil
	}
	return nil, failed
}

// measure measures once, within the limit.
func (w Way) measure(ctx context.Context, e expectation, limit time.Duration) (*badnet.Calibration, []time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conns, took, err := w.connect(ctx, e.lanes)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	c := &badnet.Calibration{Sent: e.probes * len(conns), Dial: took}
	var dialing sync.WaitGroup
	if w.Driver != badnet.Proxy {
		dialing.Go(func() {
			if conn, took := dial(ctx, w.Addr); conn != nil {
				conn.Close()
				c.Dial = took
			}
		})
	}
	trips := sendOver(ctx, conns, e.probes, e.gap)
	if len(trips) == 0 || e.loses {
		cancel() // what has not come back is lost, the dial too
	}
	dialing.Wait()
	c.Lost = c.Sent - len(trips)
	c.RoundTripP50, c.RoundTripP99 = Percentile(trips, 50), Percentile(trips, 99)
	if len(trips) == 0 && e.late {
		c.Lost, c.Note = 0, fmt.Sprintf("a round trip takes longer than the %s that a calibration takes at most; nothing came back sooner", budget)
	}
	return c, trips, nil
}

// connect opens a connection for each lane. For TCP it also returns how long the
// first dial took.
func (w Way) connect(ctx context.Context, lanes int) (conns []net.Conn, took *float64, err error) {
	if w.Driver == badnet.Proxy {
		for range lanes {
			conn, ms := dial(ctx, w.Addr)
			if conn == nil {
				break
			}
			if took == nil {
				took = ms
			}
			conns = append(conns, conn)
		}
		if len(conns) == 0 {
			return nil, nil, fmt.Errorf("its proxy accepts no connection")
		}
		return conns, took, nil
	}
	addrs := []string{w.Addr}
	if lanes > 1 {
		addrs = nil
		for _, port := range w.Apart[len(w.Apart)-lanes:] { // the first is the dial's
			addrs = append(addrs, net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
		}
	}
	for _, addr := range addrs {
		conn, err := net.Dial("udp", addr)
		if err != nil {
			return conns, nil, err
		}
		conns = append(conns, conn)
	}
	return conns, nil, nil
}

// dial returns a connection and the milliseconds that it took, or nil.
func dial(ctx context.Context, addr string) (net.Conn, *float64) {
	var dialer net.Dialer
	began := time.Now()
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, nil
	}
	return conn, Millis(time.Since(began))
}

// sendOver sends n probes over each connection, and returns the round trips of the
// probes that came back, sorted. The connections start one after the other.
func sendOver(ctx context.Context, conns []net.Conn, n int, gap time.Duration) (trips []time.Duration) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for i, conn := range conns {
		all.Go(func() {
			select {
			case <-time.After(gap * time.Duration(i) / time.Duration(len(conns))):
			case <-ctx.Done():
			}
			own := Send(ctx, conn, n, gap)
			mu.Lock()
			defer mu.Unlock()
			trips = append(trips, own...)
		})
	}
	all.Wait()
	slices.Sort(trips)
	return trips
}

// expectation is how a profile is measured, and what must come of it.
type expectation struct {
	lanes   int // connections
	probes  int // over each
	gap     time.Duration
	soonest time.Duration // no round trip is shorter
	slow    time.Duration // half of the round trips are shorter, unless the machine stood still
	all     time.Duration // until all probes that are not lost are back
	loses   bool          // some may not come back
	none    bool          // none comes back
	noneOdd bool          // chance alone does not lose all
	late    bool          // a round trip may take longer than the budget
	profile string
}

func (w Way) expect(p badnet.Profile) expectation {
	e := expectation{lanes: 1, gap: minGap, profile: p.String()}
	most, back := steadyProbes, 1.
	if p.Up.Jitter+p.Down.Jitter > 0 {
		most = variedProbes
		e.lanes = max(1, min(Lanes, len(w.Apart))-1)
		if w.Driver == badnet.Proxy {
			e.lanes = Lanes
		}
	}
	var deviation, usual, latest time.Duration
	variance := 0.
	for _, l := range []badnet.Link{p.Up, p.Down} {
		early, late := spread(l)
		e.soonest += l.Delay - early
		usual += l.Delay + 2*l.Jitter
		e.slow += l.Delay
		latest += l.Delay + late
		deviation += deviationOf(l)
		variance += float64(deviationOf(l)) * float64(deviationOf(l))
		l.Rate = l.MeanRate()
		if l.Rate > 0 { // a twentieth of the link is enough for probes
			gap := 20 * sending(l.Rate)
			if w.Driver == badnet.Proxy {
				gap *= time.Duration(e.lanes) // which share the rate
			}
			e.gap = max(e.gap, gap)
			latest += sending(l.Rate)
			e.slow += 2 * sending(l.Rate)
		}
		back *= l.Arrives()
		e.loses = e.loses || l.Arrives() < 1 || l.Limit > 0
		e.noneOdd = e.noneOdd || l.Burst > 1 || l.Correlation > 0 || l.Outage > 0 || l.Trace.File != ""
	}
	// Packets of one queue keep their order, and a late packet holds up the packets
	// behind it. With this gap the median rises by a thirtieth of the deviation.
	e.gap = max(e.gap, deviation*3/2)
	if deviation > 0 { // more at once would keep a slow machine busy
		e.gap = max(e.gap, variedGap*time.Duration(e.lanes))
	}
	window := budget / 3
	if deviation > 0 {
		window = max(window, budget-100*time.Millisecond-usual)
	}
	e.probes = int(max(1, min(time.Duration((most+e.lanes-1)/e.lanes), window/e.gap)))
	e.none = back == 0
	e.noneOdd = !e.noneOdd && math.Pow(1-back, float64(e.probes*e.lanes)) < 1e-6
	e.soonest -= time.Millisecond + e.soonest/50
	// Five standard errors of a median, and what a busy machine adds.
	came := max(1, float64(e.probes*e.lanes)*back)
	e.slow += 10*time.Millisecond + time.Duration(5*1.25*math.Sqrt(variance/came))
	e.all = time.Duration(e.probes)*e.gap + latest + 200*time.Millisecond
	e.late = e.all > budget
	return e
}

func sending(rate int64) time.Duration {
	return time.Duration(Packet * 8 * int64(time.Second) / rate)
}

// spread is by how much a delay may be shorter or longer than the mean, except for
// one in ten thousand.
func spread(l badnet.Link) (early, late time.Duration) {
	switch {
	case l.Reorder > 0:
		early = l.Delay
	case l.Distribution == badnet.Normal:
		early = min(l.Delay, 4*l.Jitter)
	default:
		early = l.Jitter
	}
	return early, 10 * l.Jitter
}

// deviationOf is the standard deviation of a link's delay.
func deviationOf(l badnet.Link) time.Duration {
	if l.Distribution == badnet.Uniform {
		return time.Duration(float64(l.Jitter) / math.Sqrt(3))
	}
	return l.Jitter
}

// judge returns an error for round trips that the profile does not allow.
func (e expectation) judge(trips []time.Duration) error {
	sent := e.probes * e.lanes
	switch {
	case len(trips) > 0 && e.none:
		return fmt.Errorf("%q loses everything, but %d of %d probes came back", e.profile, len(trips), sent)
	case len(trips) > 0 && trips[0] < e.soonest:
		return fmt.Errorf("with %q no probe is back within %s, but one took %s", e.profile, e.soonest.Round(time.Millisecond), trips[0].Round(10*time.Microsecond))
	case len(trips) == 0 && !e.none && e.noneOdd && !e.late:
		return fmt.Errorf("with %q none of %d probes came back", e.profile, sent)
	}
	return nil
}
