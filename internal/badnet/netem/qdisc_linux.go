package netem

import (
	"encoding/binary"
	"fmt"

	"gotimeout/internal/badnet"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The majors of our handles; by them our qdiscs are told from others'.
const (
	majorSet   = 0x6770 // eight for the links set by hand: see handleFor
	majorAlone = 0x6780 // the driver's only netem
	majorTree  = 0x6781 // the root of the driver's tree
	majorBand  = 0x6790 // sixteen for the netems of its bands
	majorEnd   = majorBand + maxBands
)

func handle(major int) uint32 { return uint32(major) << 16 }

func ours(handle uint32) bool { return handle>>16 >= majorSet && handle>>16 < majorEnd }

// qdisc is one that the kernel has told of.
type qdisc struct {
	link           int
	kind           string
	parent, handle uint32
	options        []byte
	totals         badnet.Totals
}

// qdiscs lists those of all links of the namespace.
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

// root returns the qdisc at the link's root; that of a link without one is zero.
// One that somebody else has set there is an error, for it isn't ours to replace.
// What the kernel puts there by itself has no handle.
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
