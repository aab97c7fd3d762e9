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

// rateTest is the rate of one direction, measured at the receiver.
type rateTest struct {
	bits    float64       // per second, between the first arrival and the last; 0 where too few arrived
	between time.Duration // the first arrival and the last
	note    string        // why the figure says nothing about the network
}

// connections is how many connections measure a rate together: the rate is the
// link's, and all connections share it.
const connections = 2

// testTime is how long a rate is measured. surplus is how many times the rate is
// sent, low enough that the queue stays short.
const (
	testTime = 600 * time.Millisecond
	surplus  = 1.25
)

// testPackets sends more than the rate and measures what arrives.
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
		return i < loads.n-1 || l.Duplicate > 0 // where the last packet is lost, the deadline ends the test
	})
	size := float64(loads.size) * 8
	b := rateTest{between: last - first}
	if arrived > 1 && b.between > 0 {
		b.bits = float64(arrived-1) * size / b.between.Seconds()
	}
	o := <-offered
	got := float64(o.sent) * size * l.Arrives() / max(o.took.Seconds(), 1e-9)
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

// loadFor is the load for a rate. It fills half of the queue at once, so that the
// link has packets to send while this program waits for a processor.
func loadFor(l badnet.Link) load {
	bytes := float64(l.Rate) / 8
	size := min(max(bytes/20, tinyPacket), fullPacket) // at least twenty packets a second
	n := max(5, bytes*testTime.Seconds()/size)
	limit := badnet.DefaultLimit
	if l.Limit > 0 {
		limit = l.Limit
	}
	more := surplus / l.Arrives()
	return load{
		n: int(n * more), size: int(size), atOnce: min(limit/2, int(n/4)), perSecond: bytes / size * more,
		longest: 2*testTime + lasts(10*int(size), l.Rate),
	}
}

// overflows is how many UDP packets of this network found a full receive buffer, as
// far as the system counts them.
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

// transfer is a test with TCP connections that send as much as they can.
type transfer struct {
	up       bool
	patience time.Duration // until the first bytes arrive
	warmUp   time.Duration // from then on, until the clock starts
	window   time.Duration // from then on
	front    func(addr string) (string, error)
}

// overPackets measures the throughput of TCP through shaped packets. TCP needs some
// round trips until it is fast.
func overPackets(ctx context.Context, p badnet.Profile, up bool) (rateTest, error) {
	if p.RoundTrip() > 500*time.Millisecond {
		return rateTest{}, nil
	}
	return transfer{
		up: up, patience: 3 * time.Second, window: 300*time.Millisecond + 4*p.RoundTrip(),
		front: func(addr string) (string, error) { return addr, nil },
	}.measure(ctx)
}

// measure measures what arrives. The clients dial the address that front makes of
// the server's.
func (t transfer) measure(ctx context.Context) (rateTest, error) {
	ctx, cancel := context.WithTimeout(ctx, t.patience+t.warmUp+t.window)
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

// connect dials addr, and returns both ends of the connection that reaches the
// listener.
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

// arrivals measures the rate at which bytes arrive at all connections together. The
// last bytes of the warm-up only start the clock.
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
		start       time.Time
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
				switch {
				case start.IsZero():
					start = last
					until(start.Add(t.warmUp + t.window))
					fallthrough
				case bytes == 0 && last.Sub(start) < t.warmUp:
					first = last
				default:
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
