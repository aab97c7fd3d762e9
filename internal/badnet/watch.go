package badnet

import "time"

// Watcher sees the packets of a driver. The driver calls the methods one at a time, and
// packets wait for them: none may block. A Packet's Data is only valid until the return.
type Watcher interface {
	Sent(Packet)      // a packet has reached the shaper, which has taken or dropped it
	Delivered(Packet) // a packet has passed the shaper
	// Changed tells of the profile of the packets that follow, whose Counters begin at 0
	// again. It is the zero Profile where they have several.
	Changed(Profile)
}

// Watchable is a driver that shows each packet.
type Watchable interface {
	// Watch shows the packets of Plan.All, or those to and from the servers on the ports, each
	// of which has a profile in Plan.Ports, until stop is called. It begins with Changed.
	Watch(by Watcher, ports ...uint16) (stop func())
}

// Packet is a packet that a Watcher sees.
type Packet struct {
	At       time.Time
	Delay    time.Duration // since it was sent
	Up       bool          // to the server
	Data     []byte        // from the IP header on
	Counters Counters      // of its direction, of all links that are watched
	Queued   int           // packets that wait for the rate, of the same links
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
