package badnet

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// maxSize is the largest size that a packet counts with: above any real packet,
// and low enough that the longest queue of the slowest link does not overflow.
const maxSize = 1 << 20

// Shaper is one direction of a Link: it says when each packet leaves the link. It
// starts no goroutine and reads no clock. The same seed, packets and times give
// the same releases.
//
// Each packet goes through these steps:
//  1. Outage: it is lost where there is an outage. Loss: it is lost, or not.
//  2. Duplication: it may get a copy, which takes the next steps on its own.
//  3. Rate or Trace: it waits in the queue, and is dropped where Limit packets are in
//     the queue, including the packet that is being sent. An opportunity of a trace
//     delivers packets that waited before it; what they leave of it is lost.
//  4. Delay and jitter: it leaves after all packets that were sent before it. A
//     share of Reorder skips this step and overtakes those packets.
//
// Which packets are corrupted is for Corrupt to say, for each release. A lost packet
// uses none of the rate. Loss, duplication, jitter, reordering and corruption each have a random sequence of their own: with another jitter the same packets
// are lost.
//
// It is safe for concurrent use.
type Shaper struct {
	mu       sync.Mutex
	link     Link
	counters Counters

	losses, copies, jitters, overtakes, flips, turns, early *rand.Rand

	burst  bool    // the last packet was lost in a burst
	fading float64 // the number that decided on the last packet, with a correlation

	begun bool      // turn is known
	out   bool      // there is an outage
	turn  time.Time // when the outage ends or the next begins

	free  time.Time // when all packets in the queue have been sent
	rest  uint64    // the rounding error of free, in nanoseconds times bit/s
	slots opportunities
	queue fifo // when each packet in the queue has been sent
	line  line // the packets in the queue, where it Defers
	codel codel
	pie   pie
	last  time.Time // the latest release of a packet that keeps its order
}

// Counters count packets: Packets + Duplicated are as many as left the link, were
// Lost, Out, Overflowed or dropped Early.
type Counters struct {
	Packets    uint64 `json:"packets"`    // that were sent
	Lost       uint64 `json:"lost"`       // by the share of loss
	Out        uint64 `json:"out"`        // in an outage
	Overflowed uint64 `json:"overflowed"` // by the limit of the queue
	Early      uint64 `json:"early"`      // by codel or pie
	Duplicated uint64 `json:"duplicated"` // that got a copy
	Reordered  uint64 `json:"reordered"`  // that skipped the delay
	Corrupted  uint64 `json:"corrupted"`  // of those that left the link
}

// Plus returns the sums.
func (c Counters) Plus(d Counters) Counters {
	return Counters{
		c.Packets + d.Packets, c.Lost + d.Lost, c.Out + d.Out, c.Overflowed + d.Overflowed,
		c.Early + d.Early, c.Duplicated + d.Duplicated, c.Reordered + d.Reordered, c.Corrupted + d.Corrupted,
	}
}

// Minus returns what was counted since before.
func (c Counters) Minus(before Counters) Counters {
	return Counters{
		c.Packets - before.Packets, c.Lost - before.Lost, c.Out - before.Out, c.Overflowed - before.Overflowed,
		c.Early - before.Early, c.Duplicated - before.Duplicated, c.Reordered - before.Reordered, c.Corrupted - before.Corrupted,
	}
}

// NewShaper returns a Shaper. It panics with a Link that Validate refuses.
func NewShaper(l Link, seed uint64) *Shaper {
	draw := func(what uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, what)) }
	s := &Shaper{losses: draw(1), copies: draw(2), jitters: draw(3), overtakes: draw(4), flips: draw(5), turns: draw(6), early: draw(7)}
	s.Set(l)
	s.burst = s.bursts() && s.losses.Float64() < l.Loss
	if l.Correlation > 0 {
		s.fading = s.losses.Float64()
	}
	return s
}

// Set changes the link for the packets that follow. The packets before keep their
// release and their order: only reordered packets overtake them. It panics with a
// Link that Validate refuses.
func (s *Shaper) Set(l Link) {
	if err := l.Validate(); err != nil {
		panic("badnet: " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link = l.normal()
	if s.link.Limit == 0 {
		s.link.Limit = DefaultLimit
	}
	s.burst = s.burst && s.bursts()
	s.rest, s.begun, s.codel, s.pie = 0, false, codel{}, pie{}
}

// Start begins the trace, and the time until the first outage, which otherwise begin
// with the first packet. Two directions that start at one time with one seed have the same outages.
func (s *Shaper) Start(now time.Time, seed uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turns = rand.New(rand.NewPCG(seed, 6))
	s.begin(now)
}

func (s *Shaper) begin(now time.Time) {
	s.begun, s.out, s.turn = true, false, now.Add(s.lasts(false))
	s.slots = opportunities{base: now}
	if s.free.After(now) { // under the link before
		s.slots.base = s.free
	}
}

// lasts draws how long an outage lasts, or the time between two.
func (s *Shaper) lasts(out bool) time.Duration {
	mean := s.link.Every - s.link.Outage
	if out {
		mean = s.link.Outage
	}
	if s.link.Exponential {
		return time.Duration(s.turns.ExpFloat64() * float64(mean))
	}
	return mean
}

// inOutage tells whether there is an outage now.
func (s *Shaper) inOutage(now time.Time) bool {
	if s.link.Outage == 0 {
		return false
	}
	if !s.begun {
		s.begin(now)
	}
	// The machine slept. A Duration holds 292 years, hence the loop.
	for behind := now.Sub(s.turn); behind > 1000*s.link.Every; behind = now.Sub(s.turn) {
		s.turn = s.turn.Add(behind / s.link.Every * s.link.Every)
	}
	for !now.Before(s.turn) {
		s.out = !s.out
		s.turn = s.turn.Add(s.lasts(s.out))
	}
	return s.out
}

// Send sends a packet of size bytes at the time now and appends the times of its
// release: none if the packet is dropped, two if it is duplicated. No release is
// before now. With room in releases it allocates only the queue, which grows up
// to the limit. It is not for a Shaper that Defers.
func (s *Shaper) Send(releases []time.Time, now time.Time, size int) []time.Time {
	s.mu.Lock()
	for range s.enter(now) {
		if sent, ok := s.transmit(now, size); ok {
			releases = append(releases, s.release(sent))
		}
	}
	s.mu.Unlock()
	return releases
}

// enter counts a packet, and returns how many of it go on to the queue.
func (s *Shaper) enter(now time.Time) int {
	s.counters.Packets++
	switch {
	case s.inOutage(now):
		s.counters.Out++
		return 0
	case s.lose():
		s.counters.Lost++
		return 0
	case chance(s.copies, s.link.Duplicate):
		s.counters.Duplicated++
		return 2
	}
	return 1
}

// Corrupt tells for one release of a packet of size bytes, above 0, whether a bit of
// the packet is flipped, and which.
func (s *Shaper) Corrupt(size int) (bit int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !chance(s.flips, s.link.Corrupt) {
		return 0, false
	}
	s.counters.Corrupted++
	return s.flips.IntN(8 * size), true
}

// Counters returns the counts so far.
func (s *Shaper) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counters
}

// Queued returns how many packets wait for the rate or the trace.
func (s *Shaper) Queued(now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue.dropUntil(now)
	return s.queue.len() + len(s.line.packets)
}

// lose decides whether a packet is lost: independently, or by a Gilbert-Elliott
// chain, which loses every packet in its bad state and none in its good state.
// It leaves the bad state after Burst packets on average, and enters it as often
// as the share of Loss needs. With a correlation the number that decides is a mean of
// a random number and of the number before, as in netem: it is seldom far from a
// half, so that fewer packets are lost than a Loss below a half says.
func (s *Shaper) lose() bool {
	switch {
	case s.link.Correlation > 0:
		s.fading += (1 - s.link.Correlation) * (s.losses.Float64() - s.fading)
		return s.fading < s.link.Loss
	case !s.bursts():
		return chance(s.losses, s.link.Loss)
	}
	leave := 1 / s.link.Burst
	if s.burst {
		s.burst = !chance(s.losses, leave)
	} else {
		s.burst = chance(s.losses, leave*s.link.Loss/(1-s.link.Loss))
	}
	return s.burst
}

func (s *Shaper) bursts() bool { return s.link.Burst > 0 }

// transmit returns when a packet has been sent at the rate, or false where the
// queue is full.
func (s *Shaper) transmit(now time.Time, size int) (time.Time, bool) {
	if s.link.Rate == 0 && s.link.Trace.times == "" {
		return now, true
	}
	s.queue.dropUntil(now)
	if s.queue.len() >= s.link.Limit {
		s.counters.Overflowed++
		return time.Time{}, false
	}
	if s.link.Queue == PIE && s.tooLate(now) {
		s.counters.Early++
		return time.Time{}, false
	}
	if s.link.Rate == 0 {
		s.skipTo(now)
	}
	s.queue.push(s.occupy(now, size))
	return s.free, true
}

// tooLate tells whether PIE drops a packet that arrives now.
func (s *Shaper) tooLate(now time.Time) bool {
	s.pie.changes(now, s.free)
	return chance(s.early, s.pie.drops(s.free.Sub(now).Seconds()*float64(s.link.MeanRate())/8))
}

// occupy takes the rate or the trace for a packet, from now on or when it is free, and
// returns when the packet has been sent.
func (s *Shaper) occupy(now time.Time, size int) time.Time {
	if s.link.Rate == 0 {
		if s.link.Trace.times != "" {
			s.free = s.slots.send(&s.link.Trace, s.free, min(max(size, 1), maxSize))
			return s.free
		}
		return now
	}
	if s.free.Before(now) {
		s.free, s.rest = now, 0
	}
	rate := uint64(s.link.Rate)
	work := uint64(min(max(size, 0), maxSize))*8*uint64(time.Second) + s.rest
	s.free = s.free.Add(time.Duration(work / rate))
	s.rest = work % rate
	return s.free
}

// skipTo leaves out the opportunities until now, where nothing waits.
func (s *Shaper) skipTo(now time.Time) {
	if !s.begun {
		s.begin(now)
	}
	if !s.free.After(now) {
		s.slots.skip(&s.link.Trace, now)
	}
}

// release returns when a packet that was sent at that time leaves the link.
func (s *Shaper) release(sent time.Time) time.Time {
	if chance(s.overtakes, s.link.Reorder) {
		s.counters.Reordered++
		return sent
	}
	if at := sent.Add(s.link.delay(s.jitters)); at.After(s.last) {
		s.last = at
	}
	return s.last
}

// chance draws no number for a share of 0, so that an absent key costs nothing.
func chance(r *rand.Rand, share float64) bool { return share > 0 && r.Float64() < share }

// farthest is how many jitters a delay may be from the mean: without a bound one
// packet could hold up all packets behind it for hours.
const farthest = 10

// delay draws the delay of one packet.
func (l *Link) delay(r *rand.Rand) time.Duration {
	if l.Jitter == 0 {
		return l.Delay
	}
	off := min(max(l.Distribution.draw(r), -farthest), farthest)
	return max(l.Delay+time.Duration(off*float64(l.Jitter)), 0)
}

// draw returns how many jitters a packet is off, 0 on average.
func (d Distribution) draw(r *rand.Rand) float64 {
	if d == Normal {
		return r.NormFloat64() // several times faster than the quantile of a share
	}
	return d.Quantile(r.Float64())
}

// Quantile returns how many jitters off the delay that share of the packets is
// at most. The share is at least 0 and below 1; of Normal, above 0 too.
func (d Distribution) Quantile(share float64) float64 {
	switch d {
	case Normal:
		return math.Sqrt2 * math.Erfinv(2*share-1)
	case Pareto:
		// The shape is iproute2's, 3. Its values begin at 1; cut at 8, their mean
		// is 3/2-1/128 and the mean of their squares 3-2/8.
		const shape, cut, mean = 3, 8, 1.4921875
		return (min(math.Pow(1-share, -1./shape), cut) - mean) / math.Sqrt(2.75-mean*mean)
	default:
		return 2*share - 1
	}
}

// fifo is a queue of times in their order, in a ring that grows by doubling.
type fifo struct {
	ring []time.Time // its length is a power of two
	head int
	n    int
}

func (f *fifo) len() int { return f.n }

func (f *fifo) push(t time.Time) {
	if f.n == len(f.ring) {
		ring := make([]time.Time, max(2*len(f.ring), 16))
		for i := range f.n {
			ring[i] = f.ring[(f.head+i)&(len(f.ring)-1)]
		}
		f.ring, f.head = ring, 0
	}
	f.ring[(f.head+f.n)&(len(f.ring)-1)] = t
	f.n++
}

// dropUntil drops those that are not after now.
func (f *fifo) dropUntil(now time.Time) {
	for f.n > 0 && !f.ring[f.head].After(now) {
		f.head = (f.head + 1) & (len(f.ring) - 1)
		f.n--
	}
}
