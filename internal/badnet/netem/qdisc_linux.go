package netem

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"gotimeout/internal/badnet"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The majors of our handles tell our qdiscs from others.
const (
	majorSet   = 0x6770 // eight, for Set: one for each distribution
	majorAlone = 0x6780 // the driver's only netem
	majorTree  = 0x6781 // the root of the driver's tree
	majorBand  = 0x6790 // sixteen for the netems of its bands
	majorEnd   = majorBand + maxBands
)

func handle(major int) uint32 { return uint32(major) << 16 }

func ours(handle uint32) bool { return handle>>16 >= majorSet && handle>>16 < majorEnd }

// qdisc is a qdisc as the kernel lists it.
type qdisc struct {
	link           int
	kind           string
	parent, handle uint32
	options        []byte
	totals         badnet.Totals
}

// qdiscs lists the qdiscs of all links of the namespace.
func (l *link) qdiscs() ([]qdisc, error) {
	req := l.request(unix.RTM_GETQDISC, unix.NLM_F_DUMP)
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL})
	messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWQDISC)
	if err != nil {
		return nil, fmt.Errorf("cannot list the qdiscs: %w", err)
	}
	var out []qdisc
	for _, m := range messages {
		head := nl.DeserializeTcMsg(m)
		q := qdisc{link: int(head.Ifindex), parent: head.Parent, handle: head.Handle}
		attributes, err := nl.ParseRouteAttr(m[head.Len():])
		if err != nil {
			return nil, fmt.Errorf("cannot read the list of the qdiscs: %w", err)
		}
		for _, a := range attributes {
			switch a.Attr.Type {
			case nl.TCA_KIND:
				q.kind = string(a.Value[:max(len(a.Value)-1, 0)])
			case nl.TCA_OPTIONS:
				q.options = a.Value
			case nl.TCA_STATS:
				q.count(a.Value)
			}
		}
		out = append(out, q)
	}
	return out, nil
}

// count reads a struct tc_stats: 64 bits of bytes, then words of 32: packets that
// came out, drops, overlimits, two rates and packets still inside.
func (q *qdisc) count(stats []byte) {
	if len(stats) < 32 {
		return
	}
	word := func(i int) uint64 { return uint64(binary.NativeEndian.Uint32(stats[8+4*i:])) }
	q.totals.Dropped = word(1)
	q.totals.Packets = word(0) + word(1) + word(5)
}

// root returns the qdisc at the link's root, or the zero qdisc where there is none
// but the kernel's default, which has no handle. A qdisc of another program is an
// error: it is not replaced.
func (l *link) root() (qdisc, error) {
	all, err := l.qdiscs()
	if err != nil {
		return qdisc{}, err
	}
	for _, q := range all {
		if q.link != l.attrs.Index || q.parent != netlink.HANDLE_ROOT || q.handle == 0 {
			continue
		}
		if !ours(q.handle) {
			return qdisc{}, fmt.Errorf("%s has a qdisc %s %x: that gotimeout didn't make, and leaves alone: remove it with tc qdisc del dev %s root, or take another link",
				l.name, q.kind, q.handle>>16, l.name)
		}
		return q, nil
	}
	return qdisc{}, nil
}

// link is a link of the network namespace in which it was opened. Its methods work
// there from any namespace.
type link struct {
	name    string
	handle  *netlink.Handle
	attrs   *netlink.LinkAttrs
	lo      bool
	header  int // bytes of the link's header, which the kernel counts in a packet's length
	sockets map[int]*nl.SocketHandle
}

// openLink finds a link.
func openLink(name string) (*link, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("cannot talk to the kernel's network (netlink): %w", err)
	}
	found, err := handle.LinkByName(name)
	if err != nil {
		handle.Close()
		if _, ok := errors.AsType[netlink.LinkNotFoundError](err); ok {
			return nil, fmt.Errorf("there is no link %q here: write one of those that ip link shows, such as lo", name)
		}
		return nil, fmt.Errorf("cannot look up the link %s: %w", name, err)
	}
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("cannot talk to the kernel's network (netlink): %w", err)
	}
	l := &link{
		name: name, handle: handle, attrs: found.Attrs(),
		sockets: map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}},
	}
	l.lo = l.attrs.EncapType == "loopback"
	if l.lo || l.attrs.EncapType == "ether" {
		l.header = 14
	}
	return l, nil
}

func (l *link) close() {
	l.handle.Close()
	for _, s := range l.sockets {
		s.Close()
	}
}

func (l *link) request(command, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(command, flags)
	req.Sockets = l.sockets
	return req
}

// setQdisc changes the qdisc with that handle, which keeps its packets, or replaces
// the parent's qdisc with a new one.
func (l *link) setQdisc(kind string, parent, handle uint32, options *nl.RtAttr) error {
	req := l.request(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(l.attrs.Index), Parent: parent, Handle: handle})
	req.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated(kind)))
	req.AddData(options)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return l.explain(kind, err)
}

func (l *link) deleteQdisc(parent, handle uint32) error {
	req := l.request(unix.RTM_DELQDISC, unix.NLM_F_ACK)
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(l.attrs.Index), Parent: parent, Handle: handle})
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return l.explain("", err)
}

// explain makes a sentence of the kernel's error.
func (l *link) explain(kind string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("no right to change the network of %s (CAP_NET_ADMIN): run it as root, with sudo", l.name)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("the link %s is gone: write one of those that ip link shows", l.name)
	case errors.Is(err, unix.ENOENT) && kind != "":
		return missing(kind)
	}
	return fmt.Errorf("cannot change the network of %s: %w", l.name, err)
}

// missing is the kind of a qdisc or a filter that the kernel lacks.
type missing string

func (m missing) Error() string {
	module := "sch_" + string(m)
	if m == "bpf" {
		module = "cls_bpf"
	}
	return fmt.Sprintf("this kernel has no %s (sudo modprobe %s)", string(m), module)
}

// The attributes of linux/pkt_sched.h that nl has no names for.
const (
	attrLatency64 = 10
	attrJitter64  = 11
	lossGE        = 2
	optionsSize   = nl.SizeofTcNetemQopt
	tick          = 64 * time.Nanosecond // the kernel's unit of times in 32 bits
)

// options encodes the params. netlink.Netem can't: it has no Gilbert-Elliott
// loss, no tables and no overhead of a packet, and its times are whole
// microseconds. The rate, the correlation and the corruption are always written,
// since the kernel keeps a parameter that is absent. So is the table of any jitter; the uniform one only if replaces
// is set.
func (p params) options(replaces bool) *nl.RtAttr {
	fixed := nl.TcNetemQopt{
		Latency: uint32(p.delay / tick), Jitter: uint32(p.jitter / tick), // for kernels before 4.16
		Limit: uint32(p.limit), Loss: share32(p.loss), Duplicate: share32(p.duplicate),
	}
	if p.reorder > 0 {
		fixed.Gap = 1 // each packet may overtake
	}
	options := nl.NewRtAttr(nl.TCA_OPTIONS, fixed.Serialize())
	options.AddRtAttr(attrLatency64, nl.Uint64Attr(uint64(p.delay)))
	options.AddRtAttr(attrJitter64, nl.Uint64Attr(uint64(p.jitter)))
	if p.reorder > 0 {
		reorder := nl.TcNetemReorder{Probability: share32(p.reorder)}
		options.AddRtAttr(nl.TCA_NETEM_REORDER, reorder.Serialize())
	}
	correlations := nl.TcNetemCorr{LossCorr: share32(p.correlation)}
	options.AddRtAttr(nl.TCA_NETEM_CORR, correlations.Serialize())
	corruption := nl.TcNetemCorrupt{Probability: share32(p.corrupt)}
	options.AddRtAttr(nl.TCA_NETEM_CORRUPT, corruption.Serialize())
	if p.leave > 0 {
		// Of p, r, h and 1-k the last two are absent and so 0: every packet is lost in
		// the bad state, and none in the good state.
		bursts := words(share32(p.enter), share32(p.leave), 0, 0)
		options.AddRtAttr(nl.TCA_NETEM_LOSS|unix.NLA_F_NESTED, nil).AddRtAttr(lossGE, bursts)
	}
	p.addRate(options)
	if p.jitter > 0 && (replaces || p.distribution != badnet.Uniform) {
		entries := table(p.distribution)
		data := make([]byte, 0, 2*len(entries))
		for _, entry := range entries {
			data = binary.NativeEndian.AppendUint16(data, uint16(entry))
		}
		options.AddRtAttr(nl.TCA_NETEM_DELAY_DIST, data)
	}
	return options
}

func (p params) addRate(options *nl.RtAttr) {
	bytes := uint64(p.bits / 8)
	if bytes > math.MaxUint32 {
		options.AddRtAttr(nl.TCA_NETEM_RATE64, nl.Uint64Attr(bytes))
	}
	rate := words(uint32(min(bytes, math.MaxUint32)), uint32(int32(p.overhead)), 0, 0)
	options.AddRtAttr(nl.TCA_NETEM_RATE, rate)
}

// paramsIn decodes what options encodes, except for the distribution, which the
// kernel does not return.
func paramsIn(options []byte) (params, error) {
	if len(options) < optionsSize {
		return params{}, unix.EINVAL
	}
	attributes, err := nl.ParseRouteAttr(options[optionsSize:])
	if err != nil {
		return params{}, err
	}
	fixed := nl.DeserializeTcNetemQopt(options)
	p := params{
		limit: int(fixed.Limit), loss: share(fixed.Loss), duplicate: share(fixed.Duplicate),
		delay: time.Duration(fixed.Latency) * tick, jitter: time.Duration(fixed.Jitter) * tick,
	}
	for _, a := range attributes {
		word := func(i int) uint32 { return binary.NativeEndian.Uint32(a.Value[4*i:]) }
		switch kind := a.Attr.Type &^ unix.NLA_F_NESTED; {
		case kind == attrLatency64 && len(a.Value) >= 8:
			p.delay = time.Duration(binary.NativeEndian.Uint64(a.Value))
		case kind == attrJitter64 && len(a.Value) >= 8:
			p.jitter = time.Duration(binary.NativeEndian.Uint64(a.Value))
		case kind == nl.TCA_NETEM_REORDER && len(a.Value) >= 4 && fixed.Gap > 0:
			p.reorder = share(word(0))
		case kind == nl.TCA_NETEM_CORR && len(a.Value) >= 8:
			p.correlation = share(word(1))
		case kind == nl.TCA_NETEM_CORRUPT && len(a.Value) >= 4:
			p.corrupt = share(word(0))
		case kind == nl.TCA_NETEM_LOSS && len(a.Value) >= 12: // with the header of the nested attribute
			p.enter, p.leave = share(word(1)), share(word(2))
		case kind == nl.TCA_NETEM_RATE && len(a.Value) >= 8:
			p.bits, p.overhead = max(p.bits, int64(word(0))*8), int(int32(word(1)))
		case kind == nl.TCA_NETEM_RATE64 && len(a.Value) >= 8:
			p.bits = int64(binary.NativeEndian.Uint64(a.Value)) * 8
		}
	}
	return p, nil
}

func words(values ...uint32) []byte {
	var out []byte
	for _, v := range values {
		out = binary.NativeEndian.AppendUint32(out, v)
	}
	return out
}

// share32 writes a share as tc does: the largest number of 32 bits is 100%.
func share32(share float64) uint32 { return uint32(math.RoundToEven(share * math.MaxUint32)) }

func share(bits uint32) float64 { return float64(bits) / math.MaxUint32 }
