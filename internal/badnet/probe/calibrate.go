package probe

import (
	"context"
	"fmt"
	"math"
	"net"
	"sync"
	"time"

	"gotimeout/internal/badnet"
)

// A calibration sends so many probes, at least so far apart, and takes no
// longer than its budget.
const (
	probes = 20
	minGap = 2 * time.Millisecond
	budget = 900 * time.Millisecond
)

// Calibrate measures the way to an echo at addr, over UDP where packets are
// shaped and else over TCP. Its error is that the driver did not take: probes
// came back sooner than the profile lets them, or none that had to.
func Calibrate(ctx context.Context, addr string, p badnet.Profile, driver string) (*badnet.Calibration, error) {
	expect, whole := expectations(p), ctx
	ctx, cancel := context.WithTimeout(ctx, min(budget, expect.all))
	defer cancel()
	c := &badnet.Calibration{Sent: expect.probes}
	var trips []time.Duration
	if driver == badnet.Proxy {
		conn, took := dial(ctx, addr)
		if conn == nil {
			return nil, fmt.Errorf("the %s driver did not take: its proxy accepts no connection", driver)
		}
		defer conn.Close()
		c.Dial = took
		trips = Send(ctx, conn, c.Sent, expect.gap)
	} else {
		conn, err := net.Dial("udp", addr)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		var dialing sync.WaitGroup
		dialing.Go(func() {
			if conn, took := dial(ctx, addr); conn != nil {
				conn.Close()
				c.Dial = took
			}
		})
		trips = Send(ctx, conn, c.Sent, expect.gap)
		if len(trips) == 0 || expect.loses {
			cancel() // what hasn't come now has been lost, the dial too
		}
		dialing.Wait()
	}
	if err := whole.Err(); err != nil {
		return nil, err
	}
	c.Lost = c.Sent - len(trips)
	c.RoundTripP50, c.RoundTripP99 = Percentile(trips, 50), Percentile(trips, 99)
	if len(trips) == 0 && expect.late {
		c.Lost, c.Note = 0, fmt.Sprintf("a round trip takes longer than the %s that a calibration takes at most; nothing came back sooner", budget)
	}
	if err := expect.judge(trips); err != nil {
		return nil, fmt.Errorf("the %s driver did not take: %w", driver, err)
	}
	return c, nil
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

// expectation is what a profile makes of probes.
type expectation struct {
	probes   int
	gap      time.Duration
	soonest  time.Duration // no round trip is shorter
	all      time.Duration // until all are back that come back, with some room
	loses    bool          // some may not come back
	none     bool          // none comes back
	noneOdd  bool          // that none comes back is no chance
	late     bool          // a round trip may be over the budget
	sentence string        // what was asked for
}

func expectations(p badnet.Profile) expectation {
	e := expectation{probes: probes, gap: minGap, sentence: p.String()}
	back := 1.
	var latest time.Duration
	for _, l := range []badnet.Link{p.Up, p.Down} {
		early, late := spread(l)
		e.soonest += l.Delay - early
		latest += l.Delay + late
		if l.Rate > 0 { // a twentieth of the link is enough for probes
			e.gap = max(e.gap, 20*sending(l.Rate))
			latest += sending(l.Rate)
		}
		back *= 1 - l.Loss
		e.loses = e.loses || l.Loss > 0 || l.Limit > 0
		e.noneOdd = e.noneOdd || l.Burst > 1
	}
	e.probes = int(max(1, min(probes, (budget/3)/e.gap)))
	e.none = back == 0
	e.noneOdd = !e.noneOdd && math.Pow(1-back, float64(e.probes)) < 1e-6
	e.soonest -= time.Millisecond + e.soonest/50
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

// judge says what can't be if the driver did what was asked.
func (e expectation) judge(trips []time.Duration) error {
	switch {
	case len(trips) > 0 && e.none:
		return fmt.Errorf("%q loses everything, but %d of %d probes came back", e.sentence, len(trips), e.probes)
	case len(trips) > 0 && trips[0] < e.soonest:
		return fmt.Errorf("with %q no probe is back within %s, but one took %s", e.sentence, e.soonest.Round(time.Millisecond), trips[0].Round(10*time.Microsecond))
	case len(trips) == 0 && !e.none && e.noneOdd && !e.late:
		return fmt.Errorf("with %q none of %d probes came back", e.sentence, e.probes)
	}
	return nil
}
