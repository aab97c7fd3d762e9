package tun

import (
	"encoding/binary"
	"time"

	"gotimeout/internal/badnet"
)

// network shapes packets by a plan. It reads no clock and knows no device.
type network struct {
	seed       uint64
	directions directions
	all        *pair
	ports      map[uint16]*pair
	queue      *badnet.Queue
	deferring  []*badnet.Shaper // those whose packets wait for their fate
	headers    int              // of the frames
	releases   []time.Time

	epoch   time.Time // of the first packet
	watches []*watch
	before  badnet.Totals // of the plans before
	dropped uint64        // packets that were malformed, or too many to hold
}

// pair shapes both directions.
type pair struct {
	profile  badnet.Profile
	up, down *badnet.Shaper
	corrupts bool // either
	defers   bool // either
	seed     uint64
	begun    bool
}

// way returns the shaper of one direction.
func (p *pair) way(up bool) *badnet.Shaper {
	if up {
		return p.up
	}
	return p.down
}

// bounds are what the queue holds: the bytes of one second at 1 Gbit/s, and more
// packets than those make.
var bounds = badnet.Bounds{Packets: 1 << 18, Bytes: 128 << 20}

func newNetwork(seed uint64) *network {
	n := &network{seed: seed, queue: badnet.NewQueue(bounds)}
	n.set(badnet.Plan{})
	return n
}

// set changes the plan for the packets that follow. Each link has a seed of its
// own, the same for the same plan.
func (n *network) set(p badnet.Plan) {
	n.decide(time.Unix(1<<40, 0))
	n.before, n.deferring = n.totals(), nil
	n.all = n.pair(p.All, 0)
	n.ports = map[uint16]*pair{}
	for port, profile := range p.Ports {
		n.ports[port] = n.pair(profile, uint64(port))
	}
	for _, w := range n.watches {
		w.under(n)
	}
}

func (n *network) pair(p badnet.Profile, port uint64) *pair {
	seed := n.seed + port<<32
	link := &pair{
		profile: p,
		up:      badnet.NewShaper(p.Up, seed), down: badnet.NewShaper(p.Down, seed+1), seed: seed,
		corrupts: p.Up.Corrupt > 0 || p.Down.Corrupt > 0,
	}
	for _, s := range []*badnet.Shaper{link.up, link.down} {
		if s.Defers() {
			link.defers = true
			n.deferring = append(n.deferring, s)
		}
	}
	return link
}

// send takes a packet and tells whether to deliver it at once. It copies a packet
// that it keeps for later, with a stamp in front, which leave takes away.
func (n *network) send(now time.Time, frame []byte, headers int) (deliver bool) {
	p, ok := parse(frame[headers:])
	if !ok {
		n.dropped++
		return false
	}
	if n.epoch.IsZero() {
		n.epoch = now
	}
	n.headers = headers
	port, up := n.directions.of(p)
	st, link := stamp{sent: now.Sub(n.epoch), up: up}, n.all
	if own := n.ports[port]; own != nil {
		st.port, link = port, own
	}
	shaper := link.way(up)
	if !link.begun {
		link.begun = true
		link.up.Start(now, link.seed)
		link.down.Start(now, link.seed)
	}
	if link.defers && shaper.Defers() {
		n.decide(now)
		shaper.Hold(now, p.size, st.on(frame))
		n.decide(now)
		n.sent(now, st, frame[headers:])
		return false
	}
	n.releases = shaper.Send(n.releases[:0], now, p.size)
	for _, at := range n.releases {
		if link.corrupts {
			if bit, ok := shaper.Corrupt(p.size); ok {
				n.put(at, corrupted(st.on(frame), stamped+headers, bit))
				continue
			}
		}
		next, waiting := n.queue.Next()
		if !at.After(now) && !deliver && (!waiting || next.After(at)) {
			deliver = true
			continue
		}
		n.put(at, st.on(frame))
	}
	n.sent(now, st, frame[headers:])
	if deliver {
		n.delivered(now, st, frame[headers:])
	}
	return deliver
}

// put holds a packet until its release.
func (n *network) put(at time.Time, frame []byte) {
	if !n.queue.Put(at, frame) {
		n.dropped++
	}
}

// decide decides until now about the packets whose shapers defer that.
func (n *network) decide(now time.Time) {
	for _, s := range n.deferring {
		for frame, at, ok := s.Decide(now); ok; frame, at, ok = s.Decide(now) {
			if bit, ok := s.Corrupt(len(frame) - stamped - n.headers); ok {
				frame = corrupted(frame, stamped+n.headers, bit)
			}
			n.put(at, frame)
		}
	}
}

// pop takes the first packet whose time has come, for leave.
func (n *network) pop(now time.Time) (frame []byte, ok bool) {
	n.decide(now)
	return n.queue.Pop(now)
}

// next is when pop has something to do.
func (n *network) next() (at time.Time, ok bool) {
	at, ok = n.queue.Next()
	for _, s := range n.deferring {
		if decision, waits := s.NextDecision(); waits && (!ok || decision.Before(at)) {
			at, ok = decision, true
		}
	}
	return at, ok
}

// totals counts the packets under all plans so far.
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
			t.Dropped += c.Lost + c.Out + c.Overflowed + c.Early
		}
	}
	return t
}

// large tells whether the kernel may hand over many segments as one packet: only
// where nothing is decided for each packet.
func large(p badnet.Plan) bool {
	whole := func(l badnet.Link) bool {
		return l.Arrives() == 1 && l.MeanRate() == 0 && l.Reorder == 0 && l.Duplicate == 0
	}
	for _, profile := range p.Ports {
		if !whole(profile.Up) || !whole(profile.Down) {
			return false
		}
	}
	return whole(p.All.Up) && whole(p.All.Down)
}

// packet is the part of an IP header that tells a packet's link.
type packet struct {
	size     int // of all of it
	proto    byte
	src, dst uint16 // ports, where it has any
	ports    bool
	syn      bool // the first of a TCP connection
	request  bool // an ICMP echo request
	id       uint32
	fragment bool // not the first: it has no ports, and belongs to the packet of the same id
}

// The protocols with ports, and those of ping.
const (
	icmp  = 1
	tcp   = 6
	udp   = 17
	icmp6 = 58
)

// parse reads a packet of either family, and returns false where it is malformed.
func parse(b []byte) (p packet, ok bool) {
	rest, ok := p.parseIP(b)
	if !ok {
		return p, false
	}
	if p.fragment || len(rest) < 8 {
		return p, p.fragment || p.proto != tcp && p.proto != udp && p.proto != icmp && p.proto != icmp6
	}
	switch p.proto {
	case tcp:
		if len(rest) < 20 {
			return p, false
		}
		const syn, ack = 2, 16
		p.syn = rest[13]&(syn|ack) == syn
		fallthrough
	case udp:
		p.ports = true
		p.src, p.dst = binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
	case icmp:
		p.request = rest[0] == 8
	case icmp6:
		p.request = rest[0] == 128
	}
	return p, true
}

// parseIP reads the IP header, and returns what comes after. Of the extension headers of
// IPv6 it reads a fragment's alone: packets with others have no ports.
func (p *packet) parseIP(b []byte) (rest []byte, ok bool) {
	p.size = len(b)
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		header := int(b[0]&15) * 4
		if header < 20 || header > len(b) {
			return nil, false
		}
		p.proto, rest = b[9], b[header:]
		p.id = uint32(binary.BigEndian.Uint16(b[4:]))
		p.fragment = binary.BigEndian.Uint16(b[6:])&0x1fff != 0
		return rest, true
	case len(b) >= 40 && b[0]>>4 == 6:
		const fragment = 44
		p.proto, rest = b[6], b[40:]
		if p.proto == fragment && len(rest) >= 8 {
			p.proto, p.id = rest[0], binary.BigEndian.Uint32(rest[4:])
			p.fragment = binary.BigEndian.Uint16(rest[2:])&^7 != 0
			rest = rest[8:]
		}
		return rest, true
	}
	return nil, false
}

// directions tells which end of a packet is the server. The first packet of a TCP
// connection goes to the server, and so does the first between two UDP ports.
// directions remembers a bit for each port, which is exact unless a port is a
// server's and a client's at once.
type directions struct {
	servers [1 << 16 / 64]uint64
	last    struct { // the fragment before
		id   uint32
		port uint16
		up   bool
	}
}

// of returns the server's port, 0 where there is none, and whether the packet
// goes up to it.
func (d *directions) of(p packet) (port uint16, up bool) {
	switch {
	case p.fragment && p.id == d.last.id:
		return d.last.port, d.last.up
	case !p.ports:
		if !p.fragment { // of a ping, the later fragments don't tell whether it is a request
			d.last.id, d.last.port, d.last.up = p.id, 0, p.request
		}
		return 0, p.request
	}
	if p.syn {
		d.set(p.src, false)
		d.set(p.dst, true)
	}
	fromServer, toServer := d.is(p.src), d.is(p.dst)
	if !fromServer && !toServer && p.proto == udp {
		d.set(p.dst, true)
		toServer = true
	}
	up = toServer
	if fromServer == toServer { // both or neither: servers mostly have the lower one
		up = p.dst < p.src
	}
	port = p.src
	if up {
		port = p.dst
	}
	d.last.id, d.last.port, d.last.up = p.id, port, up
	return port, up
}

func (d *directions) is(port uint16) bool { return d.servers[port/64]>>(port%64)&1 == 1 }

func (d *directions) set(port uint16, server bool) {
	bit := uint64(1) << (port % 64)
	if server {
		d.servers[port/64] |= bit
	} else {
		d.servers[port/64] &^= bit
	}
}
