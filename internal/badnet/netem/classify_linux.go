package netem

import (
	"encoding/binary"
	"math"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// program returns a classic BPF program that says which band of the tree a
// packet goes to, and 0 for the first. It is one filter for all ports, so that
// the kernel changes from one layout to the next at once, and it can compare the
// two ports of a packet: u32 needs eight filters a port, and can't. Fragments but
// the first have no ports, nor has what is neither TCP nor UDP.
func (l layout) program() []unix.SockFilter {
	const (
		half   = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		octet  = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		anyBit = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		port   = unix.BPF_LD | unix.BPF_H | unix.BPF_IND // X bytes into the packet
		band   = unix.BPF_RET | unix.BPF_K
		net    = math.MaxUint32 + 1 - 0x100000 // SKF_NET_OFF: where the packet begins, behind the link's header
		kind   = math.MaxUint32 + 1 - 0x1000   // SKF_AD_OFF + SKF_AD_PROTOCOL
	)
	p := []unix.SockFilter{
		{Code: half, K: kind},
		{Code: equal, K: unix.ETH_P_IP, Jt: 2},
		{Code: equal, K: unix.ETH_P_IPV6, Jt: 10},
		{Code: band},
		// IPv4: the protocol, whether it is a fragment, and how long the header is
		{Code: octet, K: net + 9},
		{Code: equal, K: unix.IPPROTO_TCP, Jt: 2},
		{Code: equal, K: unix.IPPROTO_UDP, Jt: 1},
		{Code: band},
		{Code: half, K: net + 6},
		{Code: anyBit, K: 0x1fff, Jf: 1},
		{Code: band},
		{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: net},
		{Code: unix.BPF_JMP | unix.BPF_JA, K: 5},
		// IPv6: the next header, which is a fragment's if it is one
		{Code: octet, K: net + 6},
		{Code: equal, K: unix.IPPROTO_TCP, Jt: 2},
		{Code: equal, K: unix.IPPROTO_UDP, Jt: 1},
		{Code: band},
		{Code: unix.BPF_LDX | unix.BPF_IMM, K: 40},
	}
	p = append(p, unix.SockFilter{Code: port, K: net + 2}, unix.SockFilter{Code: unix.BPF_ST})
	for _, r := range l.routes {
		p = append(p, unix.SockFilter{Code: equal, K: uint32(r.port), Jf: 1}, unix.SockFilter{Code: band, K: class(r.up)})
	}
	p = append(p, unix.SockFilter{Code: port, K: net})
	for _, r := range l.routes {
		p = append(p, unix.SockFilter{Code: equal, K: uint32(r.port), Jf: 1}, unix.SockFilter{Code: band, K: class(r.down)})
	}
	higher := class(0)
	if l.split {
		higher = class(1)
	}
	return append(p,
		unix.SockFilter{Code: unix.BPF_LDX | unix.BPF_MEM}, // the destination's, kept by ST
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGT | unix.BPF_X, Jf: 1},
		unix.SockFilter{Code: band, K: class(0)},
		unix.SockFilter{Code: band, K: higher},
	)
}

// class is the handle of a band's class.
func class(band int) uint32 { return handle(majorTree) | uint32(band+1) }

// setFilter sets the program at the root of the tree.
func (l *link) setFilter(program []unix.SockFilter) error {
	var code []byte
	for _, op := range program {
		code = binary.NativeEndian.AppendUint16(code, op.Code)
		code = append(code, op.Jt, op.Jf)
		code = binary.NativeEndian.AppendUint32(code, op.K)
	}
	options := nl.NewRtAttr(nl.TCA_OPTIONS, nil)
	options.AddRtAttr(nl.TCA_BPF_OPS_LEN, nl.Uint16Attr(uint16(len(program))))
	options.AddRtAttr(nl.TCA_BPF_OPS, code)
	// The priority 1, and the protocol in the network's order of bytes.
	all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL})
	req := l.request(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE|unix.NLM_F_ACK)
	req.AddData(&nl.TcMsg{
		Family: nl.FAMILY_ALL, Ifindex: int32(l.attrs.Index),
		Parent: handle(majorTree), Handle: 1, Info: 1<<16 | uint32(all),
	})
	req.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("bpf")))
	req.AddData(options)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return l.explain("bpf", err)
}
