package outside

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"gotimeout/internal/badnet/tun"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// link is the stack's end of the TUN. Frames have a struct virtio_net_hdr in front,
// so that a segment of up to 64 KiB goes through both TCPs as one packet.
type link struct {
	s          *Stack
	large      func() bool
	dispatcher stack.NetworkDispatcher
	frames     sync.Pool

	incoming chan *buffer.View // frames from the TUN, whose loop must not wait
	unsummed atomic.Bool       // of the frame that the stack takes: its checksum is left to the device
	ended    chan struct{}
	once     sync.Once
}

// held is how many packets may wait for the stack: as many as for the TUN.
const held = 10_000

func newLink(s *Stack, large func() bool) *link {
	return &link{
		s: s, large: large, incoming: make(chan *buffer.View, held), ended: make(chan struct{}),
		frames: sync.Pool{New: func() any { b := make([]byte, 0, tun.Header+1<<16); return &b }},
	}
}

// take takes a frame of the TUN's, and returns false where too many wait already.
func (l *link) take(frame []byte) bool {
	copied := buffer.NewViewWithData(frame)
	select {
	case l.incoming <- copied:
		return true
	default:
		copied.Release()
		return false
	}
}

// deliver gives the packets to the stack until close.
func (l *link) deliver() {
	for {
		select {
		case <-l.ended:
			return
		case frame := <-l.incoming:
			// Where the kernel has summed, the network may have flipped a bit.
			l.unsummed.Store(frame.AsSlice()[0]&needsChecksum != 0)
			frame.TrimFront(tun.Header)
			p, sound := parse(frame.AsSlice())
			if !sound || l.s.echo(p) {
				frame.Release()
				continue
			}
			l.s.note(p)
			taken := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(frame)})
			l.dispatcher.DeliverNetworkPacket(p.network, taken)
			taken.DecRef()
		}
	}
}

func (l *link) close() { l.once.Do(func() { close(l.ended) }) }

// WritePackets sends the stack's packets through the TUN.
func (l *link) WritePackets(packets stack.PacketBufferList) (int, tcpip.Error) {
	pooled := l.frames.Get().(*[]byte)
	defer l.frames.Put(pooled)
	for _, p := range packets.AsSlice() {
		frame := append((*pooled)[:0], make([]byte, tun.Header)...)
		writeHeader(frame, p)
		for _, part := range p.AsSlices() {
			frame = append(frame, part...)
		}
		*pooled = frame
		l.s.send(frame)
	}
	return packets.Len(), nil
}

// needsChecksum in the first byte of a frame: the checksum is left to the device.
const needsChecksum = 1

// writeHeader writes the struct virtio_net_hdr of a packet, in this machine's order.
func writeHeader(b []byte, p *stack.PacketBuffer) {
	const tcp4, tcp6 = 1, 4
	if p.GSOOptions.Type == stack.GSONone || !p.GSOOptions.NeedsCsum {
		return
	}
	b[0] = needsChecksum
	binary.NativeEndian.PutUint16(b[2:], uint16(p.HeaderSize()))
	binary.NativeEndian.PutUint16(b[6:], p.GSOOptions.L3HdrLen)
	binary.NativeEndian.PutUint16(b[8:], p.GSOOptions.CsumOffset)
	if p.Data().Size() > int(p.GSOOptions.MSS) {
		b[1] = tcp4
		if p.GSOOptions.Type == stack.GSOTCPv6 {
			b[1] = tcp6
		}
		binary.NativeEndian.PutUint16(b[4:], p.GSOOptions.MSS)
	}
}

// GSOMaxSize is the longest packet of many segments.
func (l *link) GSOMaxSize() uint32 {
	return 1<<16 - 1 - header.IPv4MaximumHeaderSize - header.TCPHeaderMaximumSize
}

// SupportedGSO tells whether there are such packets: not where the network decides
// about each segment.
func (l *link) SupportedGSO() stack.SupportedGSO {
	if l.large() {
		return stack.HostGSOSupported
	}
	return stack.GSONotSupported
}

func (l *link) Attach(d stack.NetworkDispatcher) { l.dispatcher = d }
func (l *link) IsAttached() bool                 { return l.dispatcher != nil }
func (l *link) MTU() uint32                      { return tun.MTU }
func (l *link) SetMTU(uint32)                    {}
func (l *link) MaxHeaderLength() uint16          { return 0 }
func (l *link) LinkAddress() tcpip.LinkAddress   { return "" }
func (l *link) SetLinkAddress(tcpip.LinkAddress) {}

// Capabilities tells whether the stack need not look at the checksum of the frame it takes.
func (l *link) Capabilities() stack.LinkEndpointCapabilities {
	if l.unsummed.Load() {
		return stack.CapabilityRXChecksumOffload
	}
	return 0
}

func (l *link) Wait()                                   {}
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (l *link) AddHeader(*stack.PacketBuffer)           {}
func (l *link) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (l *link) Close()                                  {}
func (l *link) SetOnCloseAction(func())                 {}
