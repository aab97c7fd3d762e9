//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"time"

	"gotimeout/internal/badnet"
)

const packets = 100_000

// losses counts what a driver loses, and how long its bursts are.
func losses(d badnet.Driver, name string) error {
	const share = 0.05
	for _, test := range []struct {
		text  string
		burst float64 // by chance alone 1/(1-share)
	}{{"loss=5%", 1 / (1 - share)}, {"loss=5%,burst=3", 3}} {
		if err := apply(d, test.text); err != nil {
			return err
		}
		lost, bursts, err := count()
		if err != nil {
			return err
		}
		measured, mean := float64(lost)/packets, float64(lost)/float64(max(bursts, 1))
		row(test.text, name, "5%", fmt.Sprintf("%.2f%%", 100*measured), "± 0.5 points", math.Abs(measured-share) <= 0.005)
		row(test.text+", mean burst", name, fmt.Sprintf("%.2f", test.burst), fmt.Sprintf("%.2f", mean), "± 5%", math.Abs(mean/test.burst-1) <= 0.05)
	}
	return nil
}

// count sends packets one way, slowly enough that the receiver has them all,
// and counts those that are missing, and in how many rows.
func count() (lost, bursts int, err error) {
	to, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, 0, err
	}
	defer to.Close()
	_ = to.SetReadBuffer(4 << 20)
	from, err := net.DialUDP("udp4", nil, to.LocalAddr().(*net.UDPAddr))
	if err != nil {
		return 0, 0, err
	}
	defer from.Close()
	go func() {
		const batch = 40
		b := make([]byte, 16)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for i := range packets {
			if i%batch == 0 {
				<-tick.C
			}
			binary.BigEndian.PutUint64(b, uint64(i))
			_, _ = from.Write(b) // one more that is lost
		}
		_ = to.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	}()
	next, b := 0, make([]byte, 16)
	miss := func(upTo int) {
		if upTo > next {
			lost += upTo - next
			bursts++
		}
		next = upTo + 1
	}
	for {
		if _, err := to.Read(b); err != nil {
			break // the deadline
		}
		miss(int(binary.BigEndian.Uint64(b)))
	}
	miss(packets)
	return lost, bursts, nil
}
