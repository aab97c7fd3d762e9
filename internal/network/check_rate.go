package network

import (
	"context"
	"fmt"
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
	asked := float64(l.Rate)
	size := int(min(max(asked/8/20, tinyPacket), fullPacket)) // twenty in a second, if it must be
	n := max(5, int(asked*blastFor.Seconds()/8/float64(size)))
	offer := asked / 8 / float64(size) * surplus / (1 - l.Loss)
	e, err := newEnds(up)
	if err != nil {
		return blast{}, err
	}
	defer e.close()
	before, began := overflows(), time.Now()
	offered := make(chan float64, 1)
	total := int(float64(n) * surplus / (1 - l.Loss))
	go func() {
		took := e.send(ctx, began, total, size, offer)
		offered <- float64(total-1) * float64(size) * 8 / took.Seconds()
		e.sent(ctx, l.Delay+10*l.Jitter+blastFor/2+lasts(8*size, l.Rate))
	}()
	var first, last time.Duration
	arrived := 0
	err = e.receive(ctx, func(i int, _ time.Duration) bool {
		last = time.Since(began)
		if arrived == 0 {
			first = last
		}
		arrived++
		return i < total-1 || l.Duplicate > 0 // the last of all may be lost: then the deadline ends it
	})
	b := blast{between: last - first}
	if arrived > 1 && b.between > 0 {
		b.bits = float64(arrived-1) * float64(size) * 8 / b.between.Seconds()
	}
	switch got := <-offered * (1 - l.Loss); {
	case got < 1.05*asked:
		b.note = "this machine offers no more than " + bits(got)
	case overflows() > before:
		b.note = "this machine can't receive as fast"
	case l.Limit > 0 && lasts(l.Limit*size, l.Rate) < 5*time.Millisecond:
		b.note = fmt.Sprintf("%d packets of queue run empty", l.Limit)
	}
	return b, err
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
