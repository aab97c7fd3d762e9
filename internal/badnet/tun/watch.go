package tun

import (
	"encoding/binary"
	"errors"
	"time"

	"gotimeout/internal/badnet"
)

// watch shows the packets to a Watcher. Each frame that the network holds has a mark in
// front, so that its direction and its age are known when it leaves.
type watch struct {
	by      badnet.Watcher
	epoch   time.Time
	headers int    // of each frame, with the mark
	frame   []byte // the marked frame of the present packet
}

// marked is the size of a mark: the nanoseconds since the epoch, and two bits.
const marked = 9

const (
	upBit    = 1
	shownBit = 2 // the packet is not of a port with a profile of its own
)

func (n *network) setWatch(by badnet.Watcher) error {
	if n.watch != nil || n.totals().Packets > 0 {
		return errors.New("the tun driver is watched already, or has seen packets before")
	}
	n.watch = &watch{by: by, epoch: time.Now()}
	return nil
}

// mark returns a frame with a mark in front, valid until the next one.
func (w *watch) mark(now time.Time, frame []byte, up, shown bool) []byte {
	var bits byte
	if up {
		bits |= upBit
	}
	if shown {
		bits |= shownBit
	}
	w.frame = binary.NativeEndian.AppendUint64(w.frame[:0], uint64(now.Sub(w.epoch)))
	w.frame = append(append(w.frame, bits), frame...)
	return w.frame
}

// sent shows a marked frame that was sent.
func (n *network) sent(now time.Time, frame []byte) {
	if bits := frame[marked-1]; bits&shownBit != 0 {
		n.watch.by.Sent(n.seen(now, bits, frame))
	}
}

// leave returns a frame that leaves the network without its mark, and shows it.
func (n *network) leave(now time.Time, frame []byte) []byte {
	if n.watch == nil {
		return frame
	}
	if bits := frame[marked-1]; bits&shownBit != 0 {
		p := n.seen(now, bits, frame)
		p.Delay = now.Sub(n.watch.epoch) - time.Duration(binary.NativeEndian.Uint64(frame))
		n.watch.by.Delivered(p)
	}
	return frame[marked:]
}

func (n *network) seen(now time.Time, bits byte, frame []byte) badnet.Packet {
	shaper := n.all.down
	if bits&upBit != 0 {
		shaper = n.all.up
	}
	return badnet.Packet{
		At: now, Up: bits&upBit != 0, Data: frame[n.watch.headers:],
		Counters: shaper.Counters(), Queued: shaper.Queued(now),
	}
}
