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
)

// Lanes is how many ports an Echo should have for a calibration under jitter,
// each with a queue of its own: that many probes are then under way at once.
const Lanes = 8

// A calibration sends so many probes, at least so far apart, and takes no longer
// than its budget.
const (
	steadyProbes = 20
	variedProbes = 60 // under jitter, where each takes another time
	minGap       = 2 * time.Millisecond
	budget       = 900 * time.Millisecond
	// attempts is how often a calibration measures where the result says that the
	// machine stood still meanwhile. All but the first take twice the budget.
	attempts = 3
)

// Way is a way through a network to an Echo.
type Way struct {
	Driver string // what makes the network bad
	Addr   string // of the Echo, or of a proxy in front of it
	// Apart are ports of the Echo that the driver gives a queue of their own.
	// Where there are none, probes wait behind all other packets.
	Apart []uint16
}

// Calibrate measures a way, over UDP where packets are shaped and else over TCP.
// Its error is that the driver doesn't do what the profile asks for: probes came
// back sooner than the profile lets them, or none that had to.
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
		case err != nil && len(trips) > 0: // no pause of the machine does that
			return nil, fmt.Errorf("the %s driver did not take: %w", w.Driver, err)
		case err != nil:
			failed = fmt.Errorf("the %s driver did not take: %w", w.Driver, err)
		case len(trips) == 0 || median(trips) <= e.slow:
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
		cancel() // what hasn't come now has been lost, the dial too
	}
	dialing.Wait()
	c.Lost = c.Sent - len(trips)
	c.RoundTripP50, c.RoundTripP99 = Percentile(trips, 50), Percentile(trips, 99)
	if len(trips) == 0 && e.late {
		c.Lost, c.Note = 0, fmt.Sprintf("a round trip takes longer than the %s that a calibration takes at most; nothing came back sooner", budget)
	}
	return c, trips, nil
}

// connect returns so many connections for probes, or as many as there are ports.
// Of TCP it returns how long the first took.
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

// sendOver sends n probes over each connection, and returns the round trips of
// those that came back, sorted. The connections begin one after the other.
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

// expectation is what a profile makes of probes.
type expectation struct {
	lanes    int // connections
	probes   int // over each
	gap      time.Duration
	soonest  time.Duration // no round trip is shorter
	slow     time.Duration // half of the round trips are shorter, unless the machine stood still
	all      time.Duration // until all are back that come back, with some room
	loses    bool          // some may not come back
	none     bool          // none comes back
	noneOdd  bool          // that none comes back is no chance
	late     bool          // a round trip may be over the budget
	sentence string        // what was asked for
}

func (w Way) expect(p badnet.Profile) expectation {
	e := expectation{lanes: 1, gap: minGap, sentence: p.String()}
	most, back := steadyProbes, 1.
	if p.Up.Jitter+p.Down.Jitter > 0 {
		most = variedProbes
		e.lanes = max(1, min(Lanes, len(w.Apart))-1)
		if w.Driver == badnet.Proxy {
			e.lanes = Lanes
		}
	}
	var deviation, usual, latest time.Duration
	for _, l := range []badnet.Link{p.Up, p.Down} {
		early, late := spread(l)
		e.soonest += l.Delay - early
		usual += l.Delay + 2*l.Jitter
		e.slow += l.Delay + 3*l.Jitter
		latest += l.Delay + late
		deviation += deviationOf(l)
		if l.Rate > 0 { // a twentieth of the link is enough for probes
			gap := 20 * sending(l.Rate)
			if w.Driver == badnet.Proxy {
				gap *= time.Duration(e.lanes) // which share the rate
			}
			e.gap = max(e.gap, gap)
			latest += sending(l.Rate)
			e.slow += 2 * sending(l.Rate)
		}
		back *= 1 - l.Loss
		e.loses = e.loses || l.Loss > 0 || l.Limit > 0
		e.noneOdd = e.noneOdd || l.Burst > 1
	}
	// Packets of one queue keep their order, so that a late one holds up those
	// behind it. With this gap that adds a thirtieth of the deviation.
	e.gap = max(e.gap, deviation*3/2)
	window := budget / 3
	if deviation > 0 {
		window = max(window, budget-100*time.Millisecond-usual)
	}
	e.probes = int(max(1, min(time.Duration((most+e.lanes-1)/e.lanes), window/e.gap)))
	e.none = back == 0
	e.noneOdd = !e.noneOdd && math.Pow(1-back, float64(e.probes*e.lanes)) < 1e-6
	e.soonest -= time.Millisecond + e.soonest/50
	e.slow += 20 * time.Millisecond
	e.all = time.Duration(e.probes)*e.gap + latest + 200*time.Millisecond
	e.late = e.all > budget
	return e
}

func sending(rate int64) time.Duration {
	return time.Duration(Packet * 8 * int64(time.Second) / rate)
}

// spread is by how much a delay may be shorter, but for some in ten thousand,
// and longer.
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

// judge says what can't be if the driver did what was asked.
func (e expectation) judge(trips []time.Duration) error {
	sent := e.probes * e.lanes
	switch {
	case len(trips) > 0 && e.none:
		return fmt.Errorf("%q loses everything, but %d of %d probes came back", e.sentence, len(trips), sent)
	case len(trips) > 0 && trips[0] < e.soonest:
		return fmt.Errorf("with %q no probe is back within %s, but one took %s", e.sentence, e.soonest.Round(time.Millisecond), trips[0].Round(10*time.Microsecond))
	case len(trips) == 0 && !e.none && e.noneOdd && !e.late:
		return fmt.Errorf("with %q none of %d probes came back", e.sentence, sent)
	}
	return nil
}

func median(sorted []time.Duration) time.Duration { return sorted[(len(sorted)-1)/2] }
