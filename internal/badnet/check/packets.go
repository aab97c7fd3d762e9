package check

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/probe"
)

// A stamp is a packet's number and when it was sent.
const stampSize = 16

// flow is two UDP sockets of this process, the first of which sends to the second.
type flow struct{ from, to *net.UDPConn }

// flows are the flows of a test, which share one link.
type flows []flow

// newFlows makes n flows in the same direction. The first packet between two
// sockets goes up, and the server has the lower port: by these two rules drivers
// tell the directions apart.
func newFlows(n int, up bool) (f flows, err error) {
	for range n {
		client, server, err := sockets()
		if err != nil {
			f.close()
			return nil, err
		}
		_, _ = client.WriteTo([]byte{0}, server.LocalAddr())
		one := flow{client, server}
		if !up {
			one = flow{server, client}
		}
		_ = one.to.SetReadBuffer(4 << 20) // or as much as the system gives
		f = append(f, one)
	}
	return f, nil
}

// sockets returns two UDP sockets, the second on the lower port.
func sockets() (client, server *net.UDPConn, err error) {
	local := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	if client, err = net.ListenUDP("udp4", local); err != nil {
		return nil, nil, err
	}
	if server, err = net.ListenUDP("udp4", local); err != nil {
		client.Close()
		return nil, nil, err
	}
	if portOf(client) < portOf(server) {
		client, server = server, client
	}
	return client, server, nil
}

func portOf(conn *net.UDPConn) int { return conn.LocalAddr().(*net.UDPAddr).Port }

func (f flows) close() {
	for _, one := range f {
		one.from.Close()
		one.to.Close()
	}
}

// load is n packets of that size on the wire: some are sent at once, and the others
// at a rate.
type load struct {
	n, size   int
	atOnce    int
	perSecond float64
	longest   time.Duration // after which no more is sent
}

// offer is what this machine sent of a load.
type offer struct {
	sent  int
	took  time.Duration
	stall time.Duration // the longest unplanned pause
}

// send sends a load over the flows in turn. No packet is sent before its time, and
// late packets are sent at once.
func (f flows) send(ctx context.Context, began time.Time, l load) (o offer) {
	b := make([]byte, l.size-28)
	for i := range l.n {
		due := time.Duration(float64(i-l.atOnce) / l.perSecond * float64(time.Second))
		now := time.Since(began)
		if due > now && !pause(ctx, max(due-now, time.Millisecond)) || now > l.longest {
			break
		}
		now = time.Since(began)
		o.stall = max(o.stall, now-max(o.took, due))
		o.took = now
		binary.BigEndian.PutUint64(b, uint64(i))
		binary.BigEndian.PutUint64(b[8:], uint64(now))
		one := f[i%len(f)]
		_, _ = one.from.WriteTo(b, one.to.LocalAddr()) // an error counts as a loss
		o.sent++
	}
	return o
}

// sent says when the last packet was sent: receive waits that much longer.
func (f flows) sent(ctx context.Context, longest time.Duration) {
	if ctx.Err() == nil {
		f.receiveUntil(time.Now().Add(longest))
	}
}

func (f flows) receiveUntil(deadline time.Time) {
	for _, one := range f {
		_ = one.to.SetReadDeadline(deadline)
	}
}

// receive gives each stamp to took, one at a time, until that returns false, the
// longest time has passed since the last was sent, or ctx is done.
func (f flows) receive(ctx context.Context, took func(i int, sent time.Duration) bool) error {
	defer context.AfterFunc(ctx, func() { f.receiveUntil(time.Unix(1, 0)) })()
	var (
		mu   sync.Mutex
		done bool
		all  sync.WaitGroup
	)
	errs := make([]error, len(f))
	for i, one := range f {
		all.Go(func() {
			errs[i] = one.receive(func(i int, sent time.Duration) bool {
				mu.Lock()
				defer mu.Unlock()
				if !done && !took(i, sent) {
					done = true
					f.receiveUntil(time.Unix(1, 0))
				}
				return !done
			})
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// receive gives each stamp to took until that returns false or the deadline has
// passed.
func (f flow) receive(took func(i int, sent time.Duration) bool) error {
	b := make([]byte, fullPacket)
	for {
		n, _, err := f.to.ReadFromUDPAddrPort(b)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return err
		case n < stampSize: // the first packet, which shows the direction
			continue
		}
		if !took(int(binary.BigEndian.Uint64(b)), time.Duration(binary.BigEndian.Uint64(b[8:]))) {
			return nil
		}
	}
}

// counts counts the packets of one direction at the receiver.
type counts struct {
	sent     int
	arrived  int // once or twice
	copies   int
	overtook int             // arrived before a packet that was sent earlier
	delays   []time.Duration // of the first arrivals; both ends have the same clock
	overflow int             // arrived, and the receiver's buffer was full
}

// stream sends packets and counts them: enough for the tolerances, no faster than
// this machine can receive, and at most at half of the link's rate, so that no
// packet waits long.
func stream(ctx context.Context, l badnet.Link, up bool) (c counts, err error) {
	n, perSecond := 20_000, 20_000.
	if l.Rate > 0 {
		perSecond = min(perSecond, float64(l.Rate)/8/tinyPacket/2)
		n = max(5, int(perSecond))
	}
	if l.Arrives() == 1 && l.Duplicate == 0 && l.Reorder == 0 || l.Arrives() == 0 {
		n = max(5, min(n/2, 2000)) // there is nothing to sample
	}
	for range 2 {
		c, err = streamAt(ctx, l, up, n, perSecond)
		if err != nil || c.overflow == 0 {
			break
		}
		n, perSecond = max(5, n/2), perSecond/8
	}
	return c, err
}

func streamAt(ctx context.Context, l badnet.Link, up bool, n int, perSecond float64) (counts, error) {
	f, err := newFlows(1, up) // the order of packets counts within one flow
	if err != nil {
		return counts{}, err
	}
	defer f.close()
	c := counts{sent: n}
	before, began := overflows(), time.Now()
	go func() {
		f.send(ctx, began, load{n: n, size: tinyPacket, perSecond: perSecond, longest: time.Minute})
		f.sent(ctx, latest(l)+200*time.Millisecond+lasts(4*tinyPacket, l.Rate))
	}()
	seen, order := make([]bool, n), make([]int, 0, n)
	err = f.receive(ctx, func(i int, sent time.Duration) bool {
		if i >= n {
			return true
		}
		if seen[i] {
			c.copies++
			return true
		}
		seen[i] = true
		order = append(order, i)
		c.delays = append(c.delays, time.Since(began)-sent)
		return len(order) < n || l.Duplicate > 0
	})
	c.arrived, c.overtook, c.overflow = len(order), overtakers(order), overflows()-before
	return c, err
}

// overtakers counts the numbers that come before a lower one.
func overtakers(order []int) (n int) {
	lowest := int(^uint(0) >> 1)
	for i := len(order) - 1; i >= 0; i-- {
		if lowest < order[i] {
			n++
		}
		lowest = min(lowest, order[i])
	}
	return n
}

// dials times new connections.
func dials(ctx context.Context, addr string, s schedule) sample {
	var (
		mu     sync.Mutex
		all    sync.WaitGroup
		times  []time.Duration
		opened []net.Conn
	)
	for range s.dials {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, s.patience)
			defer cancel()
			began := time.Now()
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
			took := time.Since(began)
			if err != nil {
				return // it counts as one that did not come back
			}
			mu.Lock()
			defer mu.Unlock()
			times, opened = append(times, took), append(opened, conn)
		})
		if !pause(ctx, s.gap) {
			break
		}
	}
	all.Wait()
	for _, conn := range opened {
		probe.Reset(conn) // a close would take packets for another delay
	}
	pause(ctx, s.settle)
	slices.Sort(times)
	return sample{s.dials, times}
}

// trips times round trips to an echo.
func trips(ctx context.Context, network, addr string, s schedule) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.probes)*s.gap+s.patience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return sample{}, err
	}
	defer probe.Reset(conn)
	return sample{s.probes, probe.Send(ctx, conn, s.probes, s.gap)}, nil
}

// pause waits, unless ctx is done before.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
