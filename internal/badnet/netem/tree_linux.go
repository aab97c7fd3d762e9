package netem

import (
	"errors"

	"gotimeout/internal/badnet"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// apply makes the qdiscs of a layout out of whatever is there. What can stay is
// changed in its place. Until a new tree has its netems, packets go through it
// undelayed: the kernel can't build one beside the old.
func (n *Netem) apply(next layout) error {
	if err := n.removeRootBut(next.root()); err != nil {
		return err
	}
	if next.alone() {
		return n.link.setQdisc("netem", netlink.HANDLE_ROOT, next.root(), next.netems[0].options(true))
	}
	prio := nl.TcPrioMap{Bands: maxBands} // and all priorities to the first of them
	err := n.link.setQdisc("prio", netlink.HANDLE_ROOT, next.root(), nl.NewRtAttr(nl.TCA_OPTIONS, prio.Serialize()))
	if err != nil {
		return lacking(err)
	}
	if next.duplicates() || n.now.duplicates() {
		// Kernels since 6.16 refuse a netem that duplicates beside another one,
		// and the one that no longer duplicates must be told before the others.
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
	if l.alone() {
		return handle(majorAlone)
	}
	return handle(majorTree)
}

// lacking makes an ErrCannot of a module that the kernel lacks: without it one
// netem for all packets still works.
func lacking(err error) error {
	if _, ok := errors.AsType[missing](err); ok {
		return badnet.Cannot("netem can't tell directions and ports apart: %s", err)
	}
	return err
}

// present lists the link's qdiscs that are ours.
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

// removeRoot removes all qdiscs that are ours.
func (n *Netem) removeRoot() error { return n.removeRootBut(0) }

// removeRootBut removes the tree unless its root has that handle, and keeps what
// its qdiscs have counted.
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
