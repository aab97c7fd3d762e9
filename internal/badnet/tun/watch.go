package tun

import (
	"encoding/binary"
	"slices"
	"time"

	"gotimeout/internal/badnet"
)

// watch shows packets to a Watcher.
type watch struct {
	by     badnet.Watcher
	ports  []uint16 // with profiles of their own; none stands for all other packets
	links  []*pair  // of these packets, under the present plan
	before map[bool]badnet.Counters
}

// stamp is in front of each frame that the network holds. With it a watch may begin and end
// while packets are held.
type stamp struct {
	sent time.Duration // since the network's first packet
	port uint16        // with a profile of its own, or 0
	up   bool
}

// stamped is the size of a stamp.
const stamped = 8 + 2 + 1

// on returns a copy of a frame with the stamp in front.
func (st stamp) on(frame []byte) []byte {
	b := make([]byte, stamped, stamped+len(frame))
	binary.NativeEndian.PutUint64(b, uint64(st.sent))
	binary.NativeEndian.PutUint16(b[8:], st.port)
	if st.up {
		b[10] = 1
	}
	return append(b, frame...)
}

// unstamp returns the stamp of a held frame, and the frame.
func unstamp(b []byte) (stamp, []byte) {
	return stamp{time.Duration(binary.NativeEndian.Uint64(b)), binary.NativeEndian.Uint16(b[8:]), b[10] == 1}, b[stamped:]
}

// watched begins a watch.
func (n *network) watched(by badnet.Watcher, ports []uint16) *watch {
	w := &watch{by: by, ports: ports}
	n.watches = append(n.watches, w)
	w.under(n)
	return w
}

// unwatched ends a watch.
func (n *network) unwatched(w *watch) {
	n.watches = slices.DeleteFunc(n.watches, func(other *watch) bool { return other == w })
}

// under tells the Watcher of the present plan.
func (w *watch) under(n *network) {
	w.links = nil
	if len(w.ports) == 0 {
		w.links = append(w.links, n.all)
	}
	for _, port := range w.ports {
		if own := n.ports[port]; own != nil {
			w.links = append(w.links, own)
		}
	}
	w.before = map[bool]badnet.Counters{true: w.counters(true), false: w.counters(false)}
	var profile badnet.Profile
	for i, link := range w.links {
		if i > 0 && link.profile != profile {
			profile = badnet.Profile{}
			break
		}
		profile = link.profile
	}
	w.by.Changed(profile)
}

// counters are the sums of one direction.
func (w *watch) counters(up bool) (sum badnet.Counters) {
	for _, link := range w.links {
		sum = sum.Plus(link.way(up).Counters())
	}
	return sum
}

// shows tells whether the watch is of this packet.
func (w *watch) shows(st stamp) bool {
	if len(w.ports) == 0 {
		return st.port == 0
	}
	return slices.Contains(w.ports, st.port)
}

func (w *watch) packet(now time.Time, st stamp, data []byte) badnet.Packet {
	p := badnet.Packet{At: now, Up: st.up, Data: data, Counters: w.counters(st.up).Minus(w.before[st.up])}
	for _, link := range w.links {
		p.Queued += link.way(st.up).Queued(now)
	}
	return p
}

// sent shows a packet, from its IP header on, that was sent.
func (n *network) sent(now time.Time, st stamp, data []byte) {
	for _, w := range n.watches {
		if w.shows(st) {
			w.by.Sent(w.packet(now, st, data))
		}
	}
}

// delivered shows a packet that leaves the network.
func (n *network) delivered(now time.Time, st stamp, data []byte) {
	for _, w := range n.watches {
		if w.shows(st) {
			p := w.packet(now, st, data)
			p.Delay = now.Sub(n.epoch) - st.sent
			w.by.Delivered(p)
		}
	}
}

// leave returns a frame that was held without its stamp, and shows its packet.
func (n *network) leave(now time.Time, held []byte) []byte {
	st, frame := unstamp(held)
	n.delivered(now, st, frame[n.headers:])
	return frame
}
