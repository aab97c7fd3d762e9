package check

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/probe"
)

// rateTest is a way's rate, as measured where it ends.
type rateTest struct {
	bits    float64       // per second, between the first arrival and the last; 0: nothing to go by
	between time.Duration // those two
	note    string        // why it says nothing about the network
}

// connections is with how many at once a rate is measured: a rate belongs to the
// link, and is not each connection's own.
const connections = 2

// testTime is how long a rate is measured, and surplus by how much more is sent
// than it lets through: little enough that the queue stays short.
const (
	testTime = 600 * time.Millisecond
	surplus  = 1.25
)

// testPackets sends more than the rate lets through, and measures what arrives.
func testPackets(ctx context.Context, l badnet.Link, up bool) (rateTest, error) {
	asked, loads := float64(l.Rate), loadFor(l)
	f, err := newFlows(connections, up)
	if err != nil {
		return rateTest{}, err
	}
	defer f.close()
	before, began := overflows(), time.Now()
	offered := make(chan offer, 1)
	go func() {
		offered <- f.send(ctx, began, loads)
		f.sent(ctx, latest(l)+testTime/2+lasts(8*loads.size, l.Rate))
	}()
	var first, last time.Duration
	arrived := 0
	err = f.receive(ctx, func(i int, _ time.Duration) bool {
		last = time.Since(began)
		if arrived == 0 {
			first = last
		}
		arrived++
		return i < loads.n-1 || l.Duplicate > 0 // it may be lost: then the deadline ends it
	})
	size := float64(loads.size) * 8
	b := rateTest{between: last - first}
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
	n := max(5, bytes*testTime.Seconds()/size)
	limit := badnet.DefaultLimit
	if l.Limit > 0 {
		limit = l.Limit
	}
	more := surplus / (1 - l.Loss)
	return load{
		n: int(n * more), size: int(size), atOnce: min(limit/2, int(n/4)), perSecond: bytes / size * more,
		longest: 2*testTime + lasts(10*int(size), l.Rate),
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

// transfer is some TCP connections with as much to carry as they can.
type transfer struct {
	up       bool
	patience time.Duration // until the first bytes arrive
	window   time.Duration // from then on
	front    func(addr string) (string, error)
}

// overPackets measures TCP where each of its packets takes the delay: it needs
// some round trips to get up to speed.
func overPackets(ctx context.Context, p badnet.Profile, up bool) (rateTest, error) {
	if p.RoundTrip() > 500*time.Millisecond {
		return rateTest{}, nil
	}
	return transfer{
		up: up, patience: 3 * time.Second, window: 300*time.Millisecond + 4*p.RoundTrip(),
		front: func(addr string) (string, error) { return addr, nil },
	}.measure(ctx)
}

// measure measures what gets through. The way to the server is what front makes
// of its address.
func (t transfer) measure(ctx context.Context) (rateTest, error) {
	ctx, cancel := context.WithTimeout(ctx, t.patience+t.window)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return rateTest{}, err
	}
	defer l.Close()
	addr, err := t.front(l.Addr().String())
	if err != nil {
		return rateTest{}, err
	}
	var senders sync.WaitGroup
	defer senders.Wait()
	var receivers []net.Conn
	for range connections {
		client, server, err := connect(ctx, l, addr)
		if err != nil {
			return rateTest{note: "no connection came about"}, nil
		}
		defer probe.Reset(client)
		defer probe.Reset(server)
		from, to := client, server
		if !t.up {
			from, to = server, client
		}
		senders.Go(func() {
			for b := make([]byte, 1<<16); ; {
				if _, err := from.Write(b); err != nil {
					return
				}
			}
		})
		receivers = append(receivers, to)
	}
	return t.arrivals(ctx, receivers), nil
}

// connect returns both ends of a connection to a listener by way of addr.
func connect(ctx context.Context, l net.Listener, addr string) (client, server net.Conn, err error) {
	if client, err = new(net.Dialer).DialContext(ctx, "tcp", addr); err != nil {
		return nil, nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = l.(*net.TCPListener).SetDeadline(deadline)
	if server, err = l.Accept(); err != nil {
		probe.Reset(client)
	}
	return client, server, err
}

// arrivals measures the rate of what arrives at all connections together, from
// the first bytes on and without them.
func (t transfer) arrivals(ctx context.Context, conns []net.Conn) rateTest {
	until := func(deadline time.Time) {
		for _, conn := range conns {
			_ = conn.SetReadDeadline(deadline)
		}
	}
	until(time.Now().Add(t.patience))
	defer context.AfterFunc(ctx, func() { until(time.Unix(1, 0)) })()
	var (
		mu          sync.Mutex
		first, last time.Time
		bytes       int
		all         sync.WaitGroup
	)
	for _, conn := range conns {
		all.Go(func() {
			for b := make([]byte, 1<<18); ; {
				n, err := conn.Read(b)
				if err != nil {
					return
				}
				mu.Lock()
				last = time.Now()
				if first.IsZero() {
					first = last
					until(first.Add(t.window))
				} else {
					bytes += n
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if first.IsZero() {
		return rateTest{note: fmt.Sprintf("nothing came within %s", t.patience)}
	}
	r := rateTest{between: last.Sub(first)}
	if bytes > 0 {
		r.bits = float64(bytes) * 8 / r.between.Seconds()
	}
	return r
}
