package outside

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// packet is a packet from inside, of either family.
type packet struct {
	all      []byte
	network  tcpip.NetworkProtocolNumber
	proto    tcpip.TransportProtocolNumber
	src, dst tcpip.Address
	fragment bool
	payload  []byte
}

// parse reads a packet. It returns false where that is malformed, or its header has a flipped bit
// as far as a checksum tells.
func parse(b []byte) (packet, bool) {
	if header.IPVersion(b) == header.IPv6Version {
		return parse6(b)
	}
	ip := header.IPv4(b)
	if !ip.IsValid(len(b)) || !ip.IsChecksumValid() {
		return packet{}, false
	}
	return packet{
		all: b, network: ipv4.ProtocolNumber, proto: ip.TransportProtocol(), src: ip.SourceAddress(), dst: ip.DestinationAddress(),
		fragment: ip.More() || ip.FragmentOffset() > 0, payload: ip.Payload(),
	}, true
}

func parse6(b []byte) (packet, bool) {
	ip := header.IPv6(b)
	if !ip.IsValid(len(b)) {
		return packet{}, false
	}
	p := packet{
		all: b, network: ipv6.ProtocolNumber, proto: ip.TransportProtocol(), src: ip.SourceAddress(), dst: ip.DestinationAddress(),
		payload: ip.Payload(),
	}
	if fragment := header.IPv6Fragment(p.payload); uint8(p.proto) == header.IPv6FragmentHeader && fragment.IsValid() {
		p.fragment, p.proto, p.payload = true, fragment.TransportProtocol(), fragment.Payload()
	}
	return p, true
}

// ipHeader writes the header of a packet of either family, and returns what comes after.
func ipHeader(b []byte, proto tcpip.TransportProtocolNumber, src, dst tcpip.Address) (payload []byte) {
	if src.Len() == header.IPv6AddressSize {
		header.IPv6(b).Encode(&header.IPv6Fields{
			PayloadLength: uint16(len(b) - header.IPv6MinimumSize), TransportProtocol: proto, HopLimit: hops, SrcAddr: src, DstAddr: dst,
		})
		return b[header.IPv6MinimumSize:]
	}
	ip := header.IPv4(b)
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(b)), TTL: hops, Protocol: uint8(proto), SrcAddr: src, DstAddr: dst})
	ip.SetChecksum(^ip.CalculateChecksum())
	return b[header.IPv4MinimumSize:]
}

// hops is how far a packet goes, as Linux has it.
const hops = 64

// ipSize is the size of the header that ipHeader writes.
func ipSize(of tcpip.Address) int {
	if of.Len() == header.IPv6AddressSize {
		return header.IPv6MinimumSize
	}
	return header.IPv4MinimumSize
}

// datagramOf returns the headers of a datagram from inside.
func datagramOf(id stack.TransportEndpointID) []byte {
	b := make([]byte, ipSize(id.LocalAddress)+header.UDPMinimumSize)
	payload := ipHeader(b, udp.ProtocolNumber, id.RemoteAddress, id.LocalAddress)
	header.UDP(payload).Encode(&header.UDPFields{SrcPort: id.RemotePort, DstPort: id.LocalPort, Length: header.UDPMinimumSize})
	return b
}

// inner returns the private network's address of the same family.
func inner(of tcpip.Address) tcpip.Address {
	if of.Len() == header.IPv6AddressSize {
		return fromNetip(address6)
	}
	return fromNetip(address4)
}

func fromNetip(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }
