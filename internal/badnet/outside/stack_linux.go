package outside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/tun"

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// The addresses of the private network. The one of IPv4 is of the network that RFC 2544
// keeps for tests. The one of IPv6 is a unique local one, so that programs prefer IPv4 where a
// host has both (RFC 6724): not every machine reaches the outside by IPv6.
var (
	address4 = netip.AddrFrom4([4]byte{198, 18, 0, 1})
	address6 = netip.MustParseAddr("fd8a:6e1c:92b5::1")
)

// Stack ends the connections of the private network to anywhere outside, and joins
// each with one that the Dialer makes. A SYN is answered after the Dialer has
// connected, with a reset where the server refuses, and with an ICMP message where
// the host can't be reached.
type Stack struct {
	dialer Dialer
	send   func(frame []byte)
	link   *link
	stack  *stack.Stack

	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
	flows  chan struct{} // a place for each

	mu    sync.Mutex
	syns  map[stack.TransportEndpointID][]byte // of the connections
	pings map[ping]*net.UDPConn
}

// maxStreams is how many TCP connections and UDP flows there may be at once. What is
// more is not answered, as by a NAT that is full.
const maxStreams = 4096

// NewStack makes the outside reachable through the tun driver.
func NewStack(d Dialer, driver badnet.Driver) (*Stack, error) {
	t, ok := driver.(*tun.TUN)
	if !ok {
		return nil, errNoTUN
	}
	log.SetTarget(&log.Writer{Next: io.Discard}) // gvisor tells stderr, the command's, what it drops
	s := &Stack{dialer: d, send: t.Send, flows: make(chan struct{}, maxStreams), syns: map[stack.TransportEndpointID][]byte{}, pings: map[ping]*net.UDPConn{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	s.link = newLink(s, t.Large)
	if err := s.set(); err != nil {
		return nil, err
	}
	streams := tcp.NewForwarder(s.stack, 0, maxStreams, s.stream)
	s.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, streams.HandlePacket)
	s.stack.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(s.stack, s.flow).HandlePacket)
	s.done.Go(s.link.deliver)
	if err := t.Outside(address4, address6, s.link.take); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// set gives the stack the kernel's defaults, but for what can stop a transfer with duplicates and
// reordering for good: gvisor's RACK (google/gvisor#6113, tailscale/tailscale#14896), and its CUBIC,
// whose window can fall to 0, since it truncates fractions (mended after this version, see
// tailscale/tailscale#21303).
func (s *Stack) set() error {
	const nic = 1
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	reno, recovery := tcpip.CongestionControlOption("reno"), tcpip.TCPRecovery(0)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4096, Default: 1 << 20, Max: 6 << 20}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4096, Default: 1 << 20, Max: 4 << 20}
	timeWait := tcpip.TCPTimeWaitTimeoutOption(time.Second) // no listener takes a SYN from TIME-WAIT, as the kernel's does
	for _, option := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &reno, &recovery, &receive, &send, &timeWait} {
		if err := s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return fmt.Errorf("the outside's TCP: %s", err)
		}
	}
	for _, err := range []tcpip.Error{
		s.stack.CreateNIC(nic, s.link), s.stack.SetPromiscuousMode(nic, true), s.stack.SetSpoofing(nic, true),
	} {
		if err != nil {
			return fmt.Errorf("the outside's network: %s", err)
		}
	}
	s.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}, {Destination: header.IPv6EmptySubnet, NIC: nic}})
	return nil
}

// Close resets the connections and waits for their end.
func (s *Stack) Close() error {
	s.cancel()
	ended := make(chan bool)
	go func() { s.done.Wait(); close(ended) }()
	s.link.close()
	for {
		for _, end := range s.stack.RegisteredEndpoints() { // a handshake waits for its client for two minutes
			end.Abort()
		}
		select {
		case <-ended:
			s.stack.Close()
			s.stack.Wait()
			return nil
		case <-time.After(50 * time.Millisecond): // it may have begun since
		}
	}
}

// start runs a flow, unless there are too many, and tells whether it does.
func (s *Stack) start(flow func()) bool {
	select {
	case s.flows <- struct{}{}:
		s.done.Go(func() { defer func() { <-s.flows }(); flow() })
		return true
	default:
		return false
	}
}

// stream answers a SYN as the server outside does, and carries the connection.
func (s *Stack) stream(r *tcp.ForwarderRequest) {
	select {
	case s.flows <- struct{}{}:
		defer func() { <-s.flows }()
	default:
		r.Complete(false)
		return
	}
	s.done.Add(1)
	defer s.done.Done()
	id := r.ID()
	outer, err := s.dialer.Dial(s.ctx, "tcp", addressOf(id))
	defer s.forget(id)
	if err != nil {
		m, silent := meaning(err)
		r.Complete(!silent && m == refused)
		if !silent && m != refused {
			s.mu.Lock()
			syn := s.syns[id]
			s.mu.Unlock()
			s.unreachable(m, syn)
		}
		return
	}
	var queue waiter.Queue
	end, failed := r.CreateEndpoint(&queue)
	if failed != nil { // the client has given up
		r.Complete(true)
		reset(outer)
		return
	}
	r.Complete(false)
	join(s.ctx, stream{gonet.NewTCPConn(&queue, end), end}, outer)
}

// stream is a connection's end in the stack.
type stream struct {
	*gonet.TCPConn
	end tcpip.Endpoint
}

// Abort resets the connection.
func (s stream) Abort() { s.end.Abort(); s.Close() }

// flow begins a flow of datagrams. It makes the flow's end before the Dialer is asked, so
// that the datagrams that come meanwhile wait there, in their order.
func (s *Stack) flow(r *udp.ForwarderRequest) (handled bool) {
	queue := new(waiter.Queue)
	end, failed := r.CreateEndpoint(queue)
	if failed != nil {
		return true
	}
	inner := gonet.NewUDPConn(queue, end)
	if !s.start(func() { s.datagrams(r.ID(), inner) }) {
		inner.Close()
	}
	return true
}

// datagrams carries a flow of datagrams until it is idle.
func (s *Stack) datagrams(id stack.TransportEndpointID, inner *gonet.UDPConn) {
	defer inner.Close()
	outer, err := s.dialer.Dial(s.ctx, "udp", addressOf(id))
	if err != nil {
		if m, silent := meaning(err); !silent {
			if m != forbidden { // of an unreachable host the kernel tells a program with datagrams nothing
				m = portUnreachable
			}
			s.unreachable(m, datagramOf(id))
		}
		return
	}
	defer outer.Close()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { inner.Close(); outer.Close() })
	var both sync.WaitGroup
	defer both.Wait()
	carry := func(to, from net.Conn) (err error) {
		b := make([]byte, datagram)
		for {
			_ = from.SetReadDeadline(time.Now().Add(idle))
			n, err := from.Read(b)
			if err == nil {
				_ = to.SetReadDeadline(time.Now().Add(idle))
				_, err = to.Write(b[:n])
			}
			if err != nil && !errors.Is(err, syscall.EMSGSIZE) {
				cancel()
				return err
			}
		}
	}
	var once sync.Once
	tell := func(err error) { // the kernel tells a refusal to the call that comes first
		if errors.Is(err, syscall.ECONNREFUSED) {
			once.Do(func() { s.unreachable(portUnreachable, datagramOf(id)) })
		}
	}
	both.Go(func() { tell(carry(outer, inner)) })
	tell(carry(inner, outer))
}

func addressOf(id stack.TransportEndpointID) string {
	return net.JoinHostPort(id.LocalAddress.String(), fmt.Sprint(id.LocalPort))
}

// note keeps a SYN for the ICMP message about it, which needs its sequence number.
func (s *Stack) note(p packet) {
	if p.proto != tcp.ProtocolNumber {
		return
	}
	segment := header.TCP(p.payload)
	if len(segment) < header.TCPMinimumSize || segment.Flags()&(header.TCPFlagSyn|header.TCPFlagAck) != header.TCPFlagSyn {
		return
	}
	id := stack.TransportEndpointID{
		LocalPort: segment.DestinationPort(), LocalAddress: p.dst,
		RemotePort: segment.SourcePort(), RemoteAddress: p.src,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.syns) >= maxStreams { // of SYNs that were not answered
		clear(s.syns)
	}
	s.syns[id] = append([]byte(nil), p.all...)
}

func (s *Stack) forget(id stack.TransportEndpointID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.syns, id)
}
