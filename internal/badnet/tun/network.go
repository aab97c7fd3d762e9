package tun

import (
	"time"

	"gotimeout/internal/badnet"
)

// network is a plan at work: it takes packets and gives them back. It knows
// neither clock nor device.
type network struct {
	seed       uint64
	directions directions
	all        *pair
	ports      map[uint16]*pair
	queue      *badnet.Queue
	releases   []time.Time

	before  badnet.Totals // of pairs that are no more
	dropped uint64        // what was malformed, or too much to hold
}

// pair shapes both directions.
type pair struct{ up, down *badnet.Shaper }

// bounds are what the queue holds: a second of 1 Gbit/s, and more packets than
// that has.
var bounds = badnet.Bounds{Packets: 1 << 18, Bytes: 128 << 20}

func newNetwork(seed uint64) *network {
	n := &network{seed: seed, queue: badnet.NewQueue(bounds)}
	n.set(badnet.Plan{})
	return n
}

// set changes the plan for the packets to come. Each link draws from a seed of
// its own, the same for the same plan.
func (n *network) set(p badnet.Plan) {
	n.before = n.totals()
	n.all = n.pair(p.All, 0)
	n.ports = map[uint16]*pair{}
	for port, profile := range p.Ports {
		n.ports[port] = n.pair(profile, uint64(port))
	}
}

func (n *network) pair(p badnet.Profile, port uint64) *pair {
	seed := n.seed + port<<32
	return &pair{badnet.NewShaper(p.Up, seed), badnet.NewShaper(p.Down, seed+1)}
}

// send takes a packet, which it copies where it keeps it, and tells whether it
// comes out at once.
func (n *network) send(now time.Time, frame []byte, headers int) (deliver bool) {
	p, ok := parse(frame[headers:])
	if !ok {
		n.dropped++
		return false
	}
	port, up := n.directions.of(p)
	link := n.all
	if own := n.ports[port]; own != nil {
		link = own
	}
	shaper := link.down
	if up {
		shaper = link.up
	}
	n.releases = shaper.Send(n.releases[:0], now, p.size)
	for _, at := range n.releases {
		next, waiting := n.queue.Next()
		if !at.After(now) && !deliver && (!waiting || next.After(at)) {
			deliver = true
			continue
		}
		if !n.queue.Put(at, append([]byte(nil), frame...)) {
			n.dropped++
		}
	}
	return deliver
}

// totals are of all plans so far.
func (n *network) totals() badnet.Totals {
	t := n.before
	pairs := []*pair{n.all}
	for _, p := range n.ports {
		pairs = append(pairs, p)
	}
	for _, p := range pairs {
		if p == nil {
			continue
		}
		for _, s := range []*badnet.Shaper{p.up, p.down} {
			c := s.Counters()
			t.Packets += c.Packets
			t.Dropped += c.Lost + c.Overflowed
		}
	}
	return t
}

// large tells whether the packets may be of many segments at once: only where
// nothing is decided for each.
func large(p badnet.Plan) bool {
	whole := func(l badnet.Link) bool {
		return l.Loss == 0 && l.Rate == 0 && l.Reorder == 0 && l.Duplicate == 0
	}
	for _, profile := range p.Ports {
		if !whole(profile.Up) || !whole(profile.Down) {
			return false
		}
	}
	return whole(p.All.Up) && whole(p.All.Down)
}
