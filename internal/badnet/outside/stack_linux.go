package outside

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/badnet/tun"

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// address is the private network's, of the network that RFC 2544 keeps for tests.
var address = [4]byte{198, 18, 0, 1}

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
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	s.link = newLink(s, t.Large)
	if err := s.set(); err != nil {
		return nil, err
	}
	streams := tcp.NewForwarder(s.stack, 0, maxStreams, s.stream)
	s.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, streams.HandlePacket)
	datagrams := udp.NewForwarder(s.stack, func(r *udp.ForwarderRequest) bool {
		s.start(func() { s.datagrams(r) })
		return true
	})
	s.stack.SetTransportProtocolHandler(udp.ProtocolNumber, datagrams.HandlePacket)
	s.done.Go(s.link.deliver)
	if err := t.Outside(address, s.link.take); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// set gives the stack the kernel's defaults, but for RACK: with gvisor's, a transfer with
// duplicates and reordering can stop for good (google/gvisor#6113, tailscale/tailscale#14896).
func (s *Stack) set() error {
	const nic = 1
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	cubic, recovery := tcpip.CongestionControlOption("cubic"), tcpip.TCPRecovery(0)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4096, Default: 1 << 20, Max: 6 << 20}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4096, Default: 1 << 20, Max: 4 << 20}
	for _, option := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &cubic, &recovery, &receive, &send} {
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
	s.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})
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

// start runs a flow, unless there are too many.
func (s *Stack) start(flow func()) {
	select {
	case s.flows <- struct{}{}:
		s.done.Go(func() { defer func() { <-s.flows }(); flow() })
	default:
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
		code, silent := meaning(err)
		r.Complete(!silent && code == 0)
		if code != 0 {
			s.mu.Lock()
			syn := s.syns[id]
			s.mu.Unlock()
			s.unreachable(code, syn)
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

// datagrams carries a flow of datagrams until it is idle.
func (s *Stack) datagrams(r *udp.ForwarderRequest) {
	id := r.ID()
	outer, err := s.dialer.Dial(s.ctx, "udp", addressOf(id))
	if err != nil {
		if code, silent := meaning(err); !silent {
			s.unreachable(max(code, portUnreachable), datagramOf(id))
		}
		return
	}
	defer outer.Close()
	var queue waiter.Queue
	end, failed := r.CreateEndpoint(&queue)
	if failed != nil {
		return // the flow was there already
	}
	inner := gonet.NewUDPConn(&queue, end)
	defer inner.Close()
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
	both.Go(func() { _ = carry(outer, inner) })
	if err := carry(inner, outer); errors.Is(err, syscall.ECONNREFUSED) {
		s.unreachable(portUnreachable, datagramOf(id))
	}
}

func addressOf(id stack.TransportEndpointID) string {
	return net.JoinHostPort(id.LocalAddress.String(), fmt.Sprint(id.LocalPort))
}

// The codes of ICMP's "destination unreachable".
const (
	netUnreachable  = 0
	hostUnreachable = 1
	portUnreachable = 3
	forbidden       = 13
)

// meaning says how a failed dial looks inside: a code of ICMP, or 0 for a reset, or
// silence, after which the client asks again.
func meaning(err error) (code byte, silent bool) {
	var errno syscall.Errno
	errors.As(err, &errno)
	switch errno {
	case syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT:
		return hostUnreachable, false
	case syscall.EACCES, syscall.EPERM:
		return forbidden, false
	case syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EINVAL:
		return 0, false
	}
	return 0, true
}

// unreachable sends an ICMP message about a packet from inside.
func (s *Stack) unreachable(code byte, about []byte) {
	if len(about) < header.IPv4MinimumSize {
		return
	}
	about = about[:min(len(about), int(about[0]&15)*4+8)]
	s.icmp(header.ICMPv4DstUnreachable, code, [4]byte(about[16:20]), 0, about)
}

// icmp sends an ICMP message to the private network.
func (s *Stack) icmp(kind header.ICMPv4Type, code byte, from [4]byte, rest uint32, body []byte) {
	frame := make([]byte, tun.Header+header.IPv4MinimumSize+header.ICMPv4MinimumSize+len(body))
	packet := frame[tun.Header:]
	ip := header.IPv4(packet)
	ip.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(packet)), TTL: 64, Protocol: uint8(header.ICMPv4ProtocolNumber),
		SrcAddr: tcpip.AddrFrom4(from), DstAddr: tcpip.AddrFrom4(address),
	})
	ip.SetChecksum(^ip.CalculateChecksum())
	message := header.ICMPv4(packet[header.IPv4MinimumSize:])
	message.SetType(kind)
	message.SetCode(header.ICMPv4Code(code))
	binary.BigEndian.PutUint32(message[4:], rest)
	copy(message[header.ICMPv4MinimumSize:], body)
	message.SetChecksum(header.ICMPv4Checksum(message, 0))
	s.send(frame)
}

// datagramOf returns the headers of a datagram from inside.
func datagramOf(id stack.TransportEndpointID) []byte {
	b := make([]byte, header.IPv4MinimumSize+header.UDPMinimumSize)
	ip := header.IPv4(b)
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(b)), TTL: 64, Protocol: uint8(udp.ProtocolNumber), SrcAddr: id.RemoteAddress, DstAddr: id.LocalAddress})
	ip.SetChecksum(^ip.CalculateChecksum())
	header.UDP(b[header.IPv4MinimumSize:]).Encode(&header.UDPFields{SrcPort: id.RemotePort, DstPort: id.LocalPort, Length: header.UDPMinimumSize})
	return b
}

// note keeps a SYN for the ICMP message about it, which needs its sequence number.
func (s *Stack) note(packet []byte) {
	ip := header.IPv4(packet)
	if ip.TransportProtocol() != tcp.ProtocolNumber {
		return
	}
	segment := header.TCP(ip.Payload())
	if len(segment) < header.TCPMinimumSize || segment.Flags()&(header.TCPFlagSyn|header.TCPFlagAck) != header.TCPFlagSyn {
		return
	}
	id := stack.TransportEndpointID{
		LocalPort: segment.DestinationPort(), LocalAddress: ip.DestinationAddress(),
		RemotePort: segment.SourcePort(), RemoteAddress: ip.SourceAddress(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.syns) >= maxStreams { // of SYNs that were not answered
		clear(s.syns)
	}
	s.syns[id] = append([]byte(nil), packet...)
}

func (s *Stack) forget(id stack.TransportEndpointID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.syns, id)
}

// ping is the way of ICMP echoes: of one program to one host.
type ping struct {
	to [4]byte
	id uint16
}

// echo carries an ICMP echo, and tells whether the packet is one.
func (s *Stack) echo(packet []byte) bool {
	ip := header.IPv4(packet)
	if ip.TransportProtocol() != header.ICMPv4ProtocolNumber {
		return false
	}
	message := header.ICMPv4(ip.Payload())
	if ip.More() || ip.FragmentOffset() > 0 {
		return true // a fragment has no answer
	}
	if len(message) < header.ICMPv4MinimumSize || message.Type() != header.ICMPv4Echo || checksum.Checksum(message, 0) != 0xffff {
		return true // nothing else is carried, nor a flipped bit
	}
	p := ping{[4]byte(packet[16:20]), message.Ident()}
	request := append([]byte(nil), message...)
	s.mu.Lock()
	conn := s.pings[p]
	s.mu.Unlock()
	if conn != nil {
		_, _ = conn.Write(request)
		return true
	}
	about := append([]byte(nil), packet...)
	s.start(func() { s.ping(p, request, about) })
	return true
}

// ping carries the echoes of a program until they stop.
func (s *Stack) ping(p ping, first, about []byte) {
	outer, err := s.dialer.Dial(s.ctx, private.Ping, net.IP(p.to[:]).String())
	if err != nil {
		if code, silent := meaning(err); !silent && code == hostUnreachable {
			s.unreachable(code, about)
		}
		return // a system that allows no pings answers none
	}
	conn, ok := outer.(*net.UDPConn)
	if !ok {
		outer.Close()
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(s.ctx, func() { conn.Close() })
	defer stop()
	s.mu.Lock()
	s.pings[p] = conn
	s.mu.Unlock()
	defer func() { s.mu.Lock(); delete(s.pings, p); s.mu.Unlock() }()
	_, _ = conn.Write(first)
	b := make([]byte, datagram)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(idle))
		n, err := conn.Read(b)
		switch {
		case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
			s.unreachable(hostUnreachable, about)
			continue
		case err != nil:
			return
		}
		if answer := header.ICMPv4(b[:n]); n >= header.ICMPv4MinimumSize && answer.Type() == header.ICMPv4EchoReply {
			s.icmp(header.ICMPv4EchoReply, 0, p.to, uint32(p.id)<<16|uint32(answer.Sequence()), answer[header.ICMPv4MinimumSize:])
		}
	}
}
