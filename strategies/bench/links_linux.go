package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/stats"
)

// manyFlows is 4,000 connections that ping over the driver, in turns with as many on the plain loopback, which show
// what the machine's scheduling is off by. They are in a process of their own: the processor time of this one is
// the driver's.
func manyFlows(d badnet.Driver, name string) error {
	if err := apply(d, "delay=50ms"); err != nil {
		return err
	}
	var bad, good flows
	var in held
	stop := d.(badnet.Watchable).Watch(&in)
	for range 3 {
		if err := errors.Join(bad.ping("127.0.0.1", 100*time.Millisecond), good.ping(plain, 0)); err != nil {
			return err
		}
	}
	stop()
	p50, p99, cores := stats.Median(bad.p50s), stats.Median(bad.p99s), stats.Median(bad.busy)
	const what = "4,000 connections that ping every 400 ms"
	networkRow(what+", off p50, p99", "none", "0.00 ms", millis(stats.Median(good.p50s))+", "+millis(stats.Median(good.p99s)), "", true)
	networkRow(what+", delay=50ms, off p50", name, "100.00 ms", millis(p50), "0.3 ms", p50 <= 300*time.Microsecond)
	networkRow(what+", delay=50ms, off p99", name, "100.00 ms", millis(p99), "1.5 ms", p99 <= 1500*time.Microsecond)
	p50, p99 = off(in.delays, 50*time.Millisecond)
	networkRow(what+", delay=50ms, a packet in the driver, off p50, p99", name, "50.00 ms", millis(p50)+", "+millis(p99), "", true)
	networkRow(what+", delay=50ms, processors of the driver", name, "", fmt.Sprintf("%.2f", cores), "1", cores <= 1)
	return nil
}

// held is how long the driver had each packet.
type held struct{ delays []time.Duration }

func (h *held) Sent(badnet.Packet)        {}
func (h *held) Delivered(p badnet.Packet) { h.delays = append(h.delays, p.Delay) }
func (h *held) Changed(badnet.Profile)    {}

// flows are how far the round trips of many connections were off, and the processors of this process meanwhile.
type flows struct {
	p50s, p99s []time.Duration
	busy       []float64
}

// ping adds a round of the connections to a host.
func (f *flows) ping(host string, asked time.Duration) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	used, began := processorTime(), time.Now()
	out, err := exec.Command(self, "as", "flows", host, asked.String()).Output()
	if err != nil {
		return fmt.Errorf("the flows: %w", err)
	}
	f.busy = append(f.busy, (processorTime()-used).Seconds()/time.Since(began).Seconds())
	var p50, p99 time.Duration
	if _, err := fmt.Sscan(string(out), (*int64)(&p50), (*int64)(&p99)); err != nil {
		return fmt.Errorf("the flows printed %q: %w", out, err)
	}
	f.p50s, f.p99s = append(f.p50s, p50), append(f.p99s, p99)
	return nil
}

// printFlows prints how far the round trips of the many connections to a host are off, in nanoseconds.
func printFlows(host, asked string) error {
	want, err := time.ParseDuration(asked)
	if err != nil {
		return err
	}
	l, err := echo(host)
	if err != nil {
		return err
	}
	defer l.Close()
	trips, _, err := pings(l.Addr().String(), 4000, 10, 400*time.Millisecond)
	if err == nil {
		p50, p99 := off(trips, want)
		fmt.Println(int64(p50), int64(p99))
	}
	return err
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// tracedLink sends more than a link by trace delivers, and counts what arrives in ten seconds.
func tracedLink(d badnet.Driver, name string) error {
	dir, err := os.MkdirTemp("", "bench-trace")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var trace strings.Builder
	lines := 0
	for ms := 1; ms <= 1000; ms++ { // nothing for 100 ms, then three packets a millisecond, and so on
		for range ms / 100 % 4 {
			fmt.Fprintln(&trace, ms)
			lines++
		}
	}
	fmt.Fprintln(&trace, 1000)
	lines++
	file := filepath.Join(dir, "trace")
	if err := os.WriteFile(file, []byte(trace.String()), 0o600); err != nil {
		return err
	}
	if err := apply(d, "trace="+file+" limit=1000"); err != nil {
		return err
	}
	const seconds = 10
	seen, err := stream(1500, 3*time.Millisecond, 10, (seconds+2)*time.Second)
	if err != nil {
		return err
	}
	// The window begins a second after the first packet, when the queue is full.
	from := seen[0].at.Add(time.Second)
	n := 0
	for _, p := range seen {
		if !p.at.Before(from) && p.at.Before(from.Add(seconds*time.Second)) {
			n++
		}
	}
	asked, measured := 1500*lines*seconds, 1500*n
	share := float64(measured)/float64(asked) - 1
	networkRow("a link by trace, bytes in 10 s", name, fmt.Sprint(asked), fmt.Sprintf("%d (%+.2f%%)", measured, 100*share), "± 1%", -0.01 <= share && share <= 0.01)
	return nil
}

// outages sends a packet every millisecond through outages of a second. A packet that was delivered in an
// outage would make a gap shorter, and a link that comes back late would make it longer.
func outages(d badnet.Driver, name string) error {
	const outage = time.Second
	if err := apply(d, "outage=1s,every=3s delay=10ms"); err != nil {
		return err
	}
	seen, err := stream(64, time.Millisecond, 1, 16*time.Second)
	if err != nil {
		return err
	}
	var gaps []time.Duration
	for i := 1; i < len(seen); i++ {
		// The driver takes a packet when it is sent: the times at the sender have no delay of the receiver.
		if gap := seen[i].sent.Sub(seen[i-1].sent); gap > outage/10 {
			gaps = append(gaps, gap)
		}
	}
	slices.Sort(gaps)
	if len(gaps) == 0 {
		return fmt.Errorf("there was no outage in 16 s of outage=1s,every=3s")
	}
	off := max((gaps[0] - outage).Abs(), (gaps[len(gaps)-1] - outage).Abs())
	networkRow("outage=1s,every=3s, no packet for, least, most", name, millis(outage), millis(gaps[0])+", "+millis(gaps[len(gaps)-1]), "± 10 ms", off <= 10*time.Millisecond)
	return nil
}

// arrival is a packet at its receiver.
type arrival struct{ sent, at time.Time }

// stream sends batches of packets for some time, and returns those that arrived. size counts the headers too.
func stream(size int, every time.Duration, batch int, d time.Duration) ([]arrival, error) {
	to, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	defer to.Close()
	_ = to.SetReadBuffer(4 << 20)
	from, err := net.DialUDP("udp4", nil, to.LocalAddr().(*net.UDPAddr))
	if err != nil {
		return nil, err
	}
	defer from.Close()
	began := time.Now()
	go func() {
		b := make([]byte, size-28)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for time.Since(began) < d {
			<-tick.C
			for range batch {
				binary.BigEndian.PutUint64(b, uint64(time.Since(began)))
				_, _ = from.Write(b) // the driver loses this packet too
			}
		}
		_ = to.SetReadDeadline(time.Now().Add(3 * time.Second))
	}()
	var seen []arrival
	for b := make([]byte, 1500); ; {
		if _, err := to.Read(b); err != nil {
			break // the deadline
		}
		seen = append(seen, arrival{began.Add(time.Duration(binary.BigEndian.Uint64(b))), time.Now()})
	}
	if len(seen) == 0 {
		return nil, fmt.Errorf("no packet arrived in %s", d)
	}
	return seen, nil
}
