package outside

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/badnet/tun"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// nowhere reaches no host.
type nowhere struct{}

func (nowhere) Dial(_ context.Context, network, _ string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.EHOSTUNREACH}
}

// stackWithoutTUN is a stack whose frames go to send, as NewStack makes it.
func stackWithoutTUN(f *testing.F, send func([]byte)) *Stack {
	s := &Stack{dialer: nowhere{}, send: send, flows: make(chan struct{}, maxStreams), syns: map[stack.TransportEndpointID][]byte{}, pings: map[ping]*net.UDPConn{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	s.link = newLink(s, func() bool { return false })
	if err := s.set(); err != nil {
		f.Fatal(err)
	}
	s.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(s.stack, 0, maxStreams, s.stream).HandlePacket)
	s.stack.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(s.stack, s.flow).HandlePacket)
	s.done.Go(s.link.deliver)
	f.Cleanup(func() { _ = s.Close() })
	return s
}

// frameOf is a frame with a packet from inside.
func frameOf(proto tcpip.TransportProtocolNumber, to string, payload []byte) []byte {
	dst := fromNetip(netip.MustParseAddr(to))
	frame := make([]byte, tun.Header+ipSize(dst)+len(payload))
	copy(ipHeader(frame[tun.Header:], proto, inner(dst), dst), payload)
	return frame
}

// echoTo is an ICMP echo.
func echoTo(to string, sequence uint16) []byte {
	message := header.ICMPv4(make([]byte, header.ICMPv4MinimumSize))
	message.SetType(header.ICMPv4Echo)
	message.SetSequence(sequence)
	message.SetChecksum(header.ICMPv4Checksum(message, 0))
	return frameOf(header.ICMPv4ProtocolNumber, to, message)
}

// The TUN is told of each frame that finds no room.
func TestTakeIsFull(t *testing.T) {
	l := newLink(nil, nil)
	for i := range held {
		if !l.take([]byte{1}) {
			t.Fatalf("frame %d is dropped", i)
		}
	}
	if l.take([]byte{1}) {
		t.Error("a frame is taken that finds no room")
	}
}

// No frame of the TUN stops the outside: the echo after it is answered. And all that the outside sends is sound.
func FuzzFrame(f *testing.F) {
	syn := make([]byte, header.TCPMinimumSize)
	header.TCP(syn).Encode(&header.TCPFields{SrcPort: 1, DstPort: 80, SeqNum: 7, DataOffset: header.TCPMinimumSize, Flags: header.TCPFlagSyn, WindowSize: 1000})
	datagram := make([]byte, header.UDPMinimumSize+3)
	header.UDP(datagram).Encode(&header.UDPFields{SrcPort: 1, DstPort: 53, Length: uint16(len(datagram))})
	const four, six = "10.0.0.1", "2001:db8::1"
	fragment := frameOf(udp.ProtocolNumber, four, datagram)
	binary.BigEndian.PutUint16(fragment[tun.Header+6:], 1<<13) // more of it follows
	unsummed, unsummed6 := frameOf(tcp.ProtocolNumber, four, syn), frameOf(tcp.ProtocolNumber, six, syn)
	unsummed[0], unsummed6[0] = needsChecksum, needsChecksum
	for _, frame := range [][]byte{
		unsummed, unsummed6, fragment, frameOf(udp.ProtocolNumber, four, datagram), frameOf(udp.ProtocolNumber, six, datagram),
		frameOf(udp.ProtocolNumber, "255.255.255.255", datagram[:3]), frameOf(tcp.ProtocolNumber, address4.String(), syn[:13]), echoTo("127.0.0.1", 1),
		frameOf(header.ICMPv6ProtocolNumber, "ff02::1", []byte{135, 0, 0, 0}), frameOf(header.IPv6FragmentHeader, six, []byte{17, 0, 0, 1, 0, 0, 0, 1, 2}),
		frameOf(0, six, []byte{6, 200}), frameOf(header.ICMPv4ProtocolNumber, "0.0.0.0", nil), make([]byte, tun.Header), make([]byte, tun.Header+1),
	} {
		f.Add(frame)
	}
	var unsound atomic.Bool
	answered := make(chan uint16, 1<<10)
	const last = "10.9.9.9" // of the echoes after the frames
	s := stackWithoutTUN(f, func(frame []byte) {
		p, sound := parse(frame[tun.Header:])
		if !sound {
			unsound.Store(true)
		}
		const before = header.ICMPv4MinimumSize + header.IPv4MinimumSize // the echo that the message is about
		if p.proto == header.ICMPv4ProtocolNumber && p.src.String() == last && len(p.payload) == before+header.ICMPv4MinimumSize {
			answered <- header.ICMPv4(p.payload[before:]).Sequence()
		}
	})
	sequence := uint16(0)
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < tun.Header || len(frame) > tun.Header+1<<16-1 {
			t.Skip("no frame of a TUN")
		}
		s.link.take(frame)
		if ip := header.IPv4(append([]byte(nil), frame[tun.Header:]...)); ip.IsValid(len(ip)) { // and the same with a right sum, which only IPv4 has
			ip.SetChecksum(0)
			ip.SetChecksum(^ip.CalculateChecksum())
			s.link.take(append(frame[:tun.Header:tun.Header], ip...))
		}
		sequence++
		s.link.take(echoTo(last, sequence))
		for late := time.After(30 * time.Second); ; {
			select {
			case n := <-answered:
				if n != sequence {
					continue
				}
			case <-late:
				t.Fatal("the echo after the frame is not answered")
			}
			break
		}
		if unsound.Load() {
			t.Error("the outside sent what is not sound")
		}
	})
}
