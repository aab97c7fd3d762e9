package outside

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"syscall"
	"time"

	"gotimeout/internal/badnet/private"
	"gotimeout/internal/badnet/tun"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// message is the type and the code of an ICMP message, of IPv4 and of IPv6.
type message struct{ type4, code4, type6, code6 byte }

var (
	refused         = message{} // none: a reset
	hostUnreachable = message{3, 1, 1, 3}
	portUnreachable = message{3, 3, 1, 4}
	forbidden       = message{3, 13, 1, 1}
	echoReply       = message{0, 0, 129, 0}
)

// meaning says how a failed dial looks inside: as a message of ICMP, or as a reset, or as
// silence, after which the client asks again.
func meaning(err error) (m message, silent bool) {
	var errno syscall.Errno
	errors.As(err, &errno)
	switch errno {
	case syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT:
		return hostUnreachable, false
	case syscall.EACCES, syscall.EPERM:
		return forbidden, false
	case syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EINVAL:
		return refused, false
	}
	return refused, true
}

// unreachable sends an ICMP message about a packet from inside.
func (s *Stack) unreachable(m message, about []byte) {
	if p, ok := parse(about); ok {
		s.icmp(m, p.dst, 0, about[:min(len(about), len(about)-len(p.payload)+8)])
	}
}

// icmp sends an ICMP message to the private network.
func (s *Stack) icmp(m message, from tcpip.Address, rest uint32, body []byte) {
	to := inner(from)
	frame := make([]byte, tun.Header+ipSize(from)+header.ICMPv4MinimumSize+len(body))
	write := func(proto tcpip.TransportProtocolNumber, kind, code byte) (written []byte) {
		written = ipHeader(frame[tun.Header:], proto, from, to)
		written[0], written[1] = kind, code
		binary.BigEndian.PutUint32(written[4:], rest)
		copy(written[header.ICMPv4MinimumSize:], body)
		return written
	}
	if from.Len() == header.IPv6AddressSize {
		six := header.ICMPv6(write(header.ICMPv6ProtocolNumber, m.type6, m.code6))
		six.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: six, Src: from, Dst: to}))
	} else {
		four := header.ICMPv4(write(header.ICMPv4ProtocolNumber, m.type4, m.code4))
		four.SetChecksum(header.ICMPv4Checksum(four, 0))
	}
	s.send(frame)
}

// ping is the way of ICMP echoes: of one program to one host.
type ping struct {
	to tcpip.Address
	id uint16
}

// echo carries an ICMP echo, and tells whether the packet is of ICMP: nothing else of that is
// carried, nor a fragment, nor a flipped bit.
func (s *Stack) echo(p packet) bool {
	request := byte(header.ICMPv4Echo)
	var sum uint16
	switch p.proto {
	case header.ICMPv4ProtocolNumber:
	case header.ICMPv6ProtocolNumber:
		request = byte(header.ICMPv6EchoRequest)
		sum = header.PseudoHeaderChecksum(p.proto, p.src, p.dst, uint16(len(p.payload)))
	default:
		return false
	}
	if p.fragment || len(p.payload) < header.ICMPv4MinimumSize || p.payload[0] != request || checksum.Checksum(p.payload, sum) != 0xffff {
		return true
	}
	way := ping{p.dst, binary.BigEndian.Uint16(p.payload[4:])}
	first := append([]byte(nil), p.payload...)
	s.mu.Lock()
	conn := s.pings[way]
	s.mu.Unlock()
	if conn != nil {
		_, _ = conn.Write(first)
		return true
	}
	about := append([]byte(nil), p.all...)
	s.start(func() { s.ping(way, first, about) })
	return true
}

// ping carries the echoes of a program until they stop.
func (s *Stack) ping(way ping, first, about []byte) {
	outer, err := s.dialer.Dial(s.ctx, private.Ping, way.to.String())
	if err != nil {
		if m, silent := meaning(err); !silent && m == hostUnreachable {
			s.unreachable(m, about)
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
	s.pings[way] = conn
	s.mu.Unlock()
	defer func() { s.mu.Lock(); delete(s.pings, way); s.mu.Unlock() }()
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
		if n >= header.ICMPv4MinimumSize && (b[0] == echoReply.type4 || b[0] == echoReply.type6) {
			rest := uint32(way.id)<<16 | uint32(binary.BigEndian.Uint16(b[6:])) // the identifier outside is another
			s.icmp(echoReply, way.to, rest, b[header.ICMPv4MinimumSize:n])
		}
	}
}
