package netem

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"

	"gotimeout/internal/badnet"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// apply changes the present qdiscs into those of a layout, in place where it can.
// The kernel can't build a second tree beside the first: packets pass a new tree
// without delay until it has its netems.
func (n *Netem) apply(next layout) error {
	if err := n.removeRootBut(next.root()); err != nil {
		return err
	}
	if next.single() {
		return n.link.setQdisc("netem", netlink.HANDLE_ROOT, next.root(), next.netems[0].options(true))
	}
	prio := nl.TcPrioMap{Bands: maxBands} // all priorities go to the first band
	err := n.link.setQdisc("prio", netlink.HANDLE_ROOT, next.root(), nl.NewRtAttr(nl.TCA_OPTIONS, prio.Serialize()))
	if err != nil {
		return lacking(err)
	}
	if next.duplicates() || n.now.duplicates() {
		// Kernels since 6.16 refuse a netem that duplicates beside another netem. So
		// the present netems are removed before others are added.
		err = n.removeBands(0)
	}
	for band, p := range next.netems {
		if err == nil {
			err = n.link.setQdisc("netem", class(band), handle(majorBand+band), p.options(true))
		}
	}
	if errors.Is(err, unix.EINVAL) && next.duplicates() {
		return badnet.Cannot("this kernel's netem duplicates packets only where one netem does it all: leave out duplicate, rate, jitter, burst and the ports' own profiles until it can, or use the tun driver")
	}
	if err == nil {
		err = lacking(n.link.setFilter(next.program()))
	}
	if err == nil {
		err = n.removeBands(len(next.netems))
	}
	return err
}

// root is the handle of a layout's root.
func (l layout) root() uint32 {
	if l.single() {
		return handle(majorAlone)
	}
	return handle(majorTree)
}

// lacking makes an ErrCannot of a missing kernel module: one netem for all packets
// works without that module.
func lacking(err error) error {
	if _, ok := errors.AsType[missing](err); ok {
		return badnet.Cannot("netem can't tell directions and ports apart: %s", err)
	}
	return err
}

// present lists our qdiscs on the link.
func (n *Netem) present() ([]qdisc, error) {
	all, err := n.link.qdiscs()
	var out []qdisc
	for _, q := range all {
		if q.link == n.link.attrs.Index && ours(q.handle) {
			out = append(out, q)
		}
	}
	return out, err
}

// removeRoot removes all our qdiscs.
func (n *Netem) removeRoot() error { return n.removeRootBut(0) }

// removeRootBut removes the tree unless its root has that handle, and keeps the
// counts of its qdiscs.
func (n *Netem) removeRootBut(wanted uint32) error {
	present, err := n.present()
	if err != nil {
		return err
	}
	var root uint32
	sum := n.past
	for _, q := range present {
		sum = add(sum, q)
		if q.parent == netlink.HANDLE_ROOT {
			root = q.handle
		}
	}
	if root == 0 || root == wanted {
		return nil
	}
	if err := n.link.deleteQdisc(netlink.HANDLE_ROOT, root); err != nil {
		return err
	}
	n.past = sum
	return nil
}

// removeBands removes the tree's netems from a band on, and keeps their counts.
func (n *Netem) removeBands(from int) error {
	present, err := n.present()
	if err != nil {
		return err
	}
	for _, q := range present {
		if q.handle < handle(majorBand+from) {
			continue
		}
		if err := n.link.deleteQdisc(q.parent, q.handle); err != nil {
			return err
		}
		n.past = add(n.past, q)
	}
	return nil
}

// maxBands is how many classes the kernel's prio has at most.
const maxBands = 16

// layout is a Plan as qdiscs: the parameters of each netem, and which packets go
// through which netem.
type layout struct {
	netems []params
	// The packets without a route go through netems[0]; if split, those towards the
	// higher port go through netems[1].
	split  bool
	routes []route
}

// route says which netems the packets to and from the server on a port go through.
type route struct {
	port     uint16
	up, down int
}

// single tells whether all packets go through one netem.
func (l layout) single() bool { return len(l.netems) == 1 }

// layoutOf lays a Plan out. Both directions of a loopback leave through the same
// link, so that each direction needs a netem of its own where a packet's fate
// depends on the packets before it: for a rate, bursts, a correlation and jitter, which
// keeps the order. By ports alone nothing tells which end is the server, so up and down must
// be the same for packets without a route. header is as in paramsOf.
func layoutOf(plan badnet.Plan, header int) (layout, error) {
	all := plan.All
	if all.Up != all.Down {
		return layout{}, badnet.Cannot("netem can't tell which end of a connection is the server, and up and down differ: name the server's port, make up and down the same, or use the tun driver")
	}
	var l layout
	links := []badnet.Link{all.Up}
	if all.Up.Rate > 0 || all.Up.Burst > 1 || all.Up.Correlation > 0 || all.Up.Jitter > 0 {
		links, l.split = append(links, all.Up), true
	}
	for _, port := range slices.Sorted(maps.Keys(plan.Ports)) {
		n := len(links)
		links = append(links, plan.Ports[port].Up, plan.Ports[port].Down)
		l.routes = append(l.routes, route{port, n, n + 1})
	}
	if len(links) > maxBands {
		return layout{}, badnet.Cannot("netem tells at most %d ports apart, and %d have a profile: name fewer, or use the tun driver", (maxBands-2)/2, len(plan.Ports))
	}
	for _, link := range links {
		p, err := paramsOf(link, header)
		if err != nil {
			return layout{}, err
		}
		l.netems = append(l.netems, p)
	}
	return l, nil
}

// duplicates tells whether a netem duplicates packets.
func (l layout) duplicates() bool {
	return slices.ContainsFunc(l.netems, func(p params) bool { return p.duplicate > 0 })
}

// program returns a classic BPF program that returns the class of a packet's band,
// and 0 for the first band. It is one filter for all ports, so that the kernel
// changes from one layout to the next at once, and it can compare the two ports of
// a packet: u32 filters can't, and would take eight for each port. Later fragments
// have no ports, nor have packets of protocols other than TCP and UDP.
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
