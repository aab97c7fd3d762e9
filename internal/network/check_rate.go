package network

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"gotimeout/internal/badnet"
)

// blast is a way's rate, as measured where it ends.
type blast struct {
	bits    float64       // per second, between the first arrival and the last; 0: nothing to go by
	between time.Duration // those two
	note    string        // why it says nothing about the network
}

// blastFor is how long a rate is measured, and surplus by how much more is sent
// than it lets through: little enough that the queue stays short.
const (
	blastFor = 600 * time.Millisecond
	surplus  = 1.25
)

// blastPackets sends more than the rate lets through, and measures what arrives.
func blastPackets(ctx context.Context, l badnet.Link, up bool) (blast, error) {
	asked, loads := float64(l.Rate), loadFor(l)
	e, err := newEnds(up)
	if err != nil {
		return blast{}, err
	}
	defer e.close()
	before, began := overflows(), time.Now()
	offered := make(chan offer, 1)
	go func() {
		offered <- e.send(ctx, began, loads)
		e.sent(ctx, latest(l)+blastFor/2+lasts(8*loads.size, l.Rate))
	}()
	var first, last time.Duration
	arrived := 0
	err = e.receive(ctx, func(i int, _ time.Duration) bool {
		last = time.Since(began)
		if arrived == 0 {
			first = last
		}
		arrived++
		return i < loads.n-1 || l.Duplicate > 0 // it may be lost: then the deadline ends it
	})
	size := float64(loads.size) * 8
	b := blast{between: last - first}
	if arrived > 1 && b.between > 0 {
		b.bits = float64(arrived-1) * size / b.between.Seconds()
	}
	o := <-offered
	got := float64(o.sent) * size * (1 - l.Loss) / max(o.took.Seconds(), 1e-9)
	switch {
	case got < 1.05*asked:
		b.note = "only " + bits(got) + " were sent"
	case overflows() > before:
		b.note = cannotReceive
	case o.stall > max(lasts(loads.atOnce*loads.size, l.Rate), time.Millisecond):
		b.note = "its queue ran empty"
	}
	return b, err
}

// cannotReceive is a note.
const cannotReceive = "the receiver was too slow"

// loadFor is the load for a rate. It fills half of the queue at once, which is
// to be sent while this program waits for its processor.
func loadFor(l badnet.Link) load {
	bytes := float64(l.Rate) / 8
	size := min(max(bytes/20, tinyPacket), fullPacket) // twenty in a second, if it must be
	n := max(5, bytes*blastFor.Seconds()/size)
	limit := badnet.DefaultLimit
	if l.Limit > 0 {
		limit = l.Limit
	}
	more := surplus / (1 - l.Loss)
	return load{
		n: int(n * more), size: int(size), atOnce: min(limit/2, int(n/4)), perSecond: bytes / size * more,
		longest: 2*blastFor + lasts(10*int(size), l.Rate),
	}
}

// overflows is how many UDP packets this network's sockets had no room for, as
// far as the system tells.
func overflows() int {
	text, _ := os.ReadFile("/proc/self/net/snmp")
	var names []string
	for _, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Udp:" {
			continue
		}
		for i, name := range names {
			if name == "RcvbufErrors" && i < len(fields) {
				n, _ := strconv.Atoi(fields[i])
				return n
			}
		}
		names = fields
	}
	return 0
}
