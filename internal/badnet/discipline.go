package badnet

import (
	"fmt"
	"math"
	"time"
)

// Discipline is what a full or slow queue does with its packets.
type Discipline uint8

// The disciplines.
const (
	DropTail Discipline = iota // drops a packet that finds the queue full
	DropHead                   // drops the packet that has waited longest instead
	CoDel                      // drops packets that have waited too long, when they are to be sent (RFC 8289)
	PIE                        // drops packets that would wait too long, by chance, when they arrive (RFC 8033)
)

var disciplines = []string{DropTail: "droptail", DropHead: "drophead", CoDel: "codel", PIE: "pie"}

// String returns the name, as Parse reads it.
func (d Discipline) String() string {
	if int(d) < len(disciplines) {
		return disciplines[d]
	}
	return fmt.Sprintf("Discipline(%d)", uint8(d))
}

// fullSize is the size of a full packet, in bytes.
const fullSize = 1500

// line holds the packets that wait for the rate, where their fate is known only when
// they are sent.
type line struct {
	packets []waiting
	bytes   int
}

type waiting struct {
	packet  []byte
	size    int
	arrived time.Time
}

func (l *line) push(w waiting) {
	l.packets = append(l.packets, w)
	l.bytes += w.size
}

func (l *line) pop() (w waiting, ok bool) {
	if len(l.packets) == 0 {
		return w, false
	}
	w, l.packets[0] = l.packets[0], waiting{} // so that the packet can be collected
	l.packets = l.packets[1:]
	l.bytes -= w.size
	return w, true
}

// The parameters of RFC 8289, section 4.
const (
	codelTarget   = 5 * time.Millisecond
	codelInterval = 100 * time.Millisecond
)

// codel is the state of CoDel, which RFC 8289 describes in section 5: it drops while
// packets have waited longer than the target for an interval, more and more often.
type codel struct {
	above       time.Time // when the interval is over; zero while the wait is short
	next        time.Time // when the next packet is dropped
	count, last int       // of the drops in this state, and at the begin of the one before
	dropping    bool
}

// pop takes the packet that is to be sent now, and counts those that it drops first.
func (c *codel) pop(l *line, now time.Time) (w waiting, ok bool, drops int) {
	w, ok, late := c.take(l, now)
	switch {
	case c.dropping && !late:
		c.dropping = false
	case c.dropping:
		for c.dropping && !now.Before(c.next) {
			drops++
			c.count++
			if w, ok, late = c.take(l, now); !late {
				c.dropping = false
			} else {
				c.next = c.later(c.next)
			}
		}
	case late:
		drops++
		w, ok, _ = c.take(l, now)
		c.dropping = true
		// Soon after the last time it begins where it was, for that was about right.
		since := c.count - c.last
		c.count = 1
		if since > 1 && now.Sub(c.next) < 16*codelInterval {
			c.count = since
		}
		c.last, c.next = c.count, c.later(now)
	}
	return w, ok, drops
}

// take takes the first packet, and tells whether the wait has been long for an interval.
func (c *codel) take(l *line, now time.Time) (w waiting, ok, late bool) {
	w, ok = l.pop()
	switch {
	case !ok || now.Sub(w.arrived) < codelTarget || l.bytes <= fullSize:
		c.above = time.Time{}
	case c.above.IsZero():
		c.above = now.Add(codelInterval)
	default:
		late = !now.Before(c.above)
	}
	return w, ok, late
}

func (c *codel) later(t time.Time) time.Time {
	return t.Add(time.Duration(float64(codelInterval) / math.Sqrt(float64(c.count))))
}

// The parameters of RFC 8033, section 4.
const (
	pieTarget = 15 * time.Millisecond
	pieUpdate = 15 * time.Millisecond
	pieBurst  = 150 * time.Millisecond
	pieAlpha  = 0.125 // a second of delay above the target
	pieBeta   = 1.25  // a second of delay more than before
)

// pie is the state of PIE, which RFC 8033 describes in section 4: a share of the packets
// that grows with the delay, and with its growth, is dropped when it arrives.
type pie struct {
	update time.Time // when the share changes next
	share  float64
	delay  time.Duration // at the last change
	burst  time.Duration // for which nothing is dropped
}

// changes makes the changes of the share that are due. free is when a packet that
// arrives is sent at the earliest: the queue has only been sent since the last packet.
func (p *pie) changes(now, free time.Time) {
	if p.update.IsZero() || now.Sub(p.update) > time.Minute { // the share is 0 by then
		*p = pie{update: now.Add(pieUpdate), burst: pieBurst}
	}
	for ; !p.update.After(now); p.update = p.update.Add(pieUpdate) {
		p.change(max(free.Sub(p.update), 0))
	}
}

func (p *pie) change(delay time.Duration) {
	by := pieAlpha*(delay-pieTarget).Seconds() + pieBeta*(delay-p.delay).Seconds()
	for _, small := range []struct{ share, by float64 }{{1e-6, 2048}, {1e-5, 512}, {1e-4, 128}, {1e-3, 32}, {1e-2, 8}, {1e-1, 2}} {
		if p.share < small.share {
			by /= small.by
			break
		}
	}
	p.share += by
	if delay == 0 && p.delay == 0 {
		p.share *= 0.98
	}
	p.share = min(max(p.share, 0), 1)
	p.burst = max(p.burst-pieUpdate, 0)
	if p.share == 0 && delay < pieTarget/2 && p.delay < pieTarget/2 {
		p.burst = pieBurst
	}
	p.delay = delay
}

// drops returns the share of the packets that are dropped as they arrive, where so many
// bytes wait.
func (p *pie) drops(bytes float64) float64 {
	if p.burst > 0 || p.delay < pieTarget/2 && p.share < 0.2 || bytes <= 2*fullSize {
		return 0
	}
	return p.share
}

// Defers tells whether the fate of a packet is known only when it is to be sent. Then
// Hold takes the place of Send.
func (s *Shaper) Defers() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.link.Queue == DropHead || s.link.Queue == CoDel
}

// Hold sends a packet of size bytes at the time now, and keeps it until Decide. What
// was to be sent until now must have been decided.
func (s *Shaper) Hold(now time.Time, size int, packet []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range s.enter(now) {
		s.wait(waiting{packet, min(max(size, 1), maxSize), now})
	}
}

// wait puts a packet into the queue.
func (s *Shaper) wait(w waiting) {
	full := len(s.line.packets)
	if s.free.After(w.arrived) {
		full++ // the packet that is being sent
	}
	if full >= s.link.Limit {
		s.counters.Overflowed++
		if s.link.Queue != DropHead || len(s.line.packets) == 0 {
			return
		}
		s.line.pop()
	}
	s.line.push(w)
}

// NextDecision is when Decide has something to decide, and false where nothing waits.
func (s *Shaper) NextDecision() (at time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.turnOfFirst()
}

// turnOfFirst is when the first packet of the line is to be sent.
func (s *Shaper) turnOfFirst() (at time.Time, ok bool) {
	if len(s.line.packets) == 0 {
		return at, false
	}
	arrived := s.line.packets[0].arrived
	switch {
	case s.link.Rate > 0 && s.free.After(arrived):
		return s.free, true
	case s.link.Rate > 0, s.link.Trace.times == "": // without either, after a Set
		return arrived, true
	}
	s.skipTo(arrived)
	if s.slots.spare > 0 {
		return s.free, true
	}
	return s.slots.base.Add(s.link.Trace.at(s.slots.next)), true
}

// Decide takes the next packet that is to be sent until now, and returns its release.
func (s *Shaper) Decide(now time.Time) (packet []byte, release time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		at, any := s.turnOfFirst()
		if !any || at.After(now) {
			return nil, at, false
		}
		var w waiting
		drops := 0
		if s.link.Queue == CoDel {
			w, ok, drops = s.codel.pop(&s.line, at)
		} else {
			w, ok = s.line.pop()
		}
		s.counters.Early += uint64(drops)
		if ok {
			return w.packet, s.release(s.occupy(at, w.size)), true
		}
	}
}
