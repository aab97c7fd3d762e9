package badnet

import "time"

// Watcher sees the packets of a driver. The driver calls the methods one at a time, and
// packets wait for them: none may block. A Packet's Data is only valid until the return.
type Watcher interface {
	Sent(Packet)      // a packet has reached the shaper, which has taken or dropped it
	Delivered(Packet) // a packet has passed the shaper
	Changed(Profile)  // for the packets that follow; their Counters begin at 0 again
}

// Watchable is a driver that shows each packet.
type Watchable interface {
	// Watch must be called before the first packet. It shows the packets of Plan.All.
	Watch(Watcher) error
}

// Packet is a packet that a Watcher sees.
type Packet struct {
	At       time.Time
	Delay    time.Duration // since it was sent
	Up       bool          // to the server
	Data     []byte        // from the IP header on
	Counters Counters      // of its direction
	Queued   int           // packets of its direction that wait for the rate
}

// Watchers are several as one.
type Watchers []Watcher

// Sent shows a packet to each.
func (all Watchers) Sent(p Packet) {
	for _, w := range all {
		w.Sent(p)
	}
}

// Delivered shows a packet to each.
func (all Watchers) Delivered(p Packet) {
	for _, w := range all {
		w.Delivered(p)
	}
}

// Changed shows a profile to each.
func (all Watchers) Changed(p Profile) {
	for _, w := range all {
		w.Changed(p)
	}
}
