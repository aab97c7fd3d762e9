package tun

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// mark is on the packets that the driver writes to lo.
const mark = 0x676f

// ether is the size of lo's header.
const ether = 14

// ipv6 is lo for ::1. No route leads ::1 through a TUN, since the kernel takes packets from
// ::1 on lo alone: a filter redirects what leaves by lo to the TUN, and a packet socket
// writes it back to lo with a mark, which the filter lets pass.
type ipv6 struct {
	socket int
	qdisc  netlink.Qdisc // of the filter
	header [vnet + ether]byte
}

// takeIPv6 redirects the IPv6 packets that leave by lo to the TUN. It returns an error where
// the kernel lacks IPv6, clsact, classic BPF filters or mirred.
func takeIPv6(tun netlink.Link) (v *ipv6, err error) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, err
	}
	index := lo.Attrs().Index
	v = &ipv6{qdisc: &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}}
	if v.socket, err = backSocket(index); err != nil {
		return nil, fmt.Errorf("the packet socket: %w", err)
	}
	if err := netlink.QdiscAdd(v.qdisc); err != nil {
		unix.Close(v.socket)
		return nil, fmt.Errorf("clsact: %w", err)
	}
	if err = redirect(index, tun.Attrs().Index); err == nil {
		err = netlink.LinkSetMTU(lo, mtu) // of packets, which are what loss and rate count
	}
	if err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

// backSocket returns a packet socket that writes to lo, with a struct virtio_net_hdr in
// front of each packet.
func backSocket(lo int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, mark); err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: lo})
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

// redirect adds the filter that sends IPv6 packets without the mark to the TUN.
func redirect(lo, tun int) error {
	const markOf = math.MaxUint32 + 1 - 0x1000 + 20 // SKF_AD_OFF + SKF_AD_MARK
	var code []byte
	for _, op := range []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: markOf},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: mark, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K}, // no match
		{Code: unix.BPF_RET | unix.BPF_K, K: math.MaxUint32},
	} {
		code = binary.NativeEndian.AppendUint16(code, op.Code)
		code = append(code, op.Jt, op.Jf)
		code = binary.NativeEndian.AppendUint32(code, op.K)
	}
	options := nl.NewRtAttr(nl.TCA_OPTIONS, nil)
	options.AddRtAttr(nl.TCA_BPF_OPS_LEN, nl.Uint16Attr(uint16(len(code)/unix.SizeofSockFilter)))
	options.AddRtAttr(nl.TCA_BPF_OPS, code)
	if err := netlink.EncodeActions(options.AddRtAttr(nl.TCA_BPF_ACT, nil), []netlink.Action{netlink.NewMirredAction(tun)}); err != nil {
		return err
	}
	// The priority 1, and the protocol in the network's order of bytes.
	const protocol = unix.ETH_P_IPV6
	ordered := binary.NativeEndian.Uint16([]byte{protocol >> 8, protocol & 0xff})
	req := nl.NewNetlinkRequest(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(lo), Parent: netlink.HANDLE_MIN_EGRESS, Handle: 1, Info: 1<<16 | uint32(ordered)})
	req.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("bpf")))
	req.AddData(options)
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("cls_bpf and act_mirred: %w", err)
	}
	return nil
}

// write sends a frame of the TUN out by lo.
func (v *ipv6) write(frame []byte) error {
	h := v.header[:]
	copy(h, frame[:vnet])
	// Offsets of the struct virtio_net_hdr count from lo's header. Those of no use are 0.
	for _, at := range []int{2, 6} { // hdr_len, csum_start
		if n := binary.NativeEndian.Uint16(h[at:]); n > 0 {
			binary.NativeEndian.PutUint16(h[at:], n+ether)
		}
	}
	binary.BigEndian.PutUint16(h[vnet+ether-2:], unix.ETH_P_IPV6)
	_, err := unix.Writev(v.socket, [][]byte{h, frame[vnet:]})
	return err
}

// close gives lo its packets back.
func (v *ipv6) close() {
	_ = netlink.QdiscDel(v.qdisc)
	unix.Close(v.socket)
}
