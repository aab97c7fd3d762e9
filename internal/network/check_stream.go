package network

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"time"
)

// A stamp is a packet's number and when it was sent.
const stampSize = 16

// ends are two UDP sockets of this process. What the one sends to the other
// goes one way.
type ends struct{ from, to *net.UDPConn }

// newEnds makes the ends of a way. The first packet between them goes up, which
// is how a driver tells that way.
func newEnds(up bool) (ends, error) {
	local := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	client, err := net.ListenUDP("udp4", local)
	if err != nil {
		return ends{}, err
	}
	server, err := net.ListenUDP("udp4", local)
	if err != nil {
		client.Close()
		return ends{}, err
	}
	_, _ = client.WriteTo([]byte{0}, server.LocalAddr())
	e := ends{client, server}
	if !up {
		e = ends{server, client}
	}
	_ = e.to.SetReadBuffer(4 << 20) // or as much as the system gives
	return e, nil
}

func (e ends) close() {
	e.from.Close()
	e.to.Close()
}

// load is what is sent: n packets of that size on the wire, some at once and
// then so many a second.
type load struct {
	n, size   int
	atOnce    int
	perSecond float64
	longest   time.Duration // then it ends, whatever is left
}

// offer is what became of a load on this machine.
type offer struct {
	sent  int
	took  time.Duration
	stall time.Duration // the longest pause, which was not meant
}

// send sends a load: no packet early, and the late ones at once.
func (e ends) send(ctx context.Context, began time.Time, l load) (o offer) {
	b := make([]byte, l.size-28)
	to := e.to.LocalAddr().(*net.UDPAddr).AddrPort()
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
		_, _ = e.from.WriteToUDPAddrPort(b, to) // one more that is lost
		o.sent++
	}
	return o
}

// sent says when the last was sent: nothing is waited for longer than that.
func (e ends) sent(ctx context.Context, longest time.Duration) {
	if ctx.Err() == nil {
		_ = e.to.SetReadDeadline(time.Now().Add(longest))
	}
}

// receive gives each stamp to took until that returns false, the longest time
// has passed since the last was sent, or ctx is done.
func (e ends) receive(ctx context.Context, took func(i int, sent time.Duration) bool) error {
	defer context.AfterFunc(ctx, func() { _ = e.to.SetReadDeadline(time.Unix(1, 0)) })()
	b := make([]byte, fullPacket)
	for {
		n, _, err := e.to.ReadFromUDPAddrPort(b)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return err
		case n < stampSize: // the first, which told the way
			continue
		}
		if !took(int(binary.BigEndian.Uint64(b)), time.Duration(binary.BigEndian.Uint64(b[8:]))) {
			return nil
		}
	}
}
