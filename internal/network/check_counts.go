package network

import (
	"context"
	"time"

	"gotimeout/internal/badnet"
)

// counts are what became of the packets of one way, seen at its end.
type counts struct {
	sent     int
	arrived  int // of them, once or twice
	copies   int
	overtook int             // arrived before one that was sent before them
	delays   []time.Duration // of the first arrivals; both ends have the same clock
	overflow int             // that arrived where this process had no room for them
}

// stream counts packets, as many as tell something and no faster than this
// machine can receive them. They leave at most at half of the rate, so that none
// waits long for it.
func stream(ctx context.Context, l badnet.Link, up bool) (c counts, err error) {
	n, perSecond := 20_000, 20_000.
	if l.Rate > 0 {
		perSecond = min(perSecond, float64(l.Rate)/8/tinyPacket/2)
		n = max(5, int(perSecond))
	}
	if l.Loss == 0 && l.Duplicate == 0 && l.Reorder == 0 || l.Loss == 1 {
		n = max(5, min(n/2, 2000)) // there is nothing to sample
	}
	for range 2 {
		c, err = streamAt(ctx, l, up, n, perSecond)
		if err != nil || c.overflow == 0 {
			break
		}
		n, perSecond = max(5, n/2), perSecond/8
	}
	return c, err
}

func streamAt(ctx context.Context, l badnet.Link, up bool, n int, perSecond float64) (counts, error) {
	e, err := newEnds(up)
	if err != nil {
		return counts{}, err
	}
	defer e.close()
	c := counts{sent: n}
	before, began := overflows(), time.Now()
	go func() {
		e.send(ctx, began, load{n: n, size: tinyPacket, perSecond: perSecond, longest: time.Minute})
		e.sent(ctx, latest(l)+200*time.Millisecond+lasts(4*tinyPacket, l.Rate))
	}()
	seen, order := make([]bool, n), make([]int, 0, n)
	err = e.receive(ctx, func(i int, sent time.Duration) bool {
		if i >= n {
			return true
		}
		if seen[i] {
			c.copies++
			return true
		}
		seen[i] = true
		order = append(order, i)
		c.delays = append(c.delays, time.Since(began)-sent)
		return len(order) < n || l.Duplicate > 0
	})
	c.arrived, c.overtook, c.overflow = len(order), overtakers(order), overflows()-before
	return c, err
}

// overtakers counts those before which a lower number should have come.
func overtakers(order []int) (n int) {
	lowest := int(^uint(0) >> 1)
	for i := len(order) - 1; i >= 0; i-- {
		if lowest < order[i] {
			n++
		}
		lowest = min(lowest, order[i])
	}
	return n
}
