package netem

import (
	"fmt"
	"strings"

	"gotimeout/internal/badnet"

	"github.com/vishvananda/netlink"
)

// Set makes what leaves a link as bad as l says, and returns the tc commands that
// do the same. A packet that the kernel has merged counts as one. With dry Set
// changes nothing. It replaces an earlier Set's qdisc, whose packets are dropped.
func Set(name string, l badnet.Link, dry bool) (commands []string, err error) {
	link, err := openLink(name)
	if err != nil {
		return nil, err
	}
	defer link.close()
	p, err := paramsOf(l, link.header)
	if err != nil {
		return nil, err
	}
	old, err := link.root()
	if err != nil {
		return nil, err
	}
	// The handle tells List the distribution, which the kernel does not return.
	major := majorSet + int(p.distribution)
	if old.handle != 0 {
		commands = append(commands, fmt.Sprintf("tc qdisc del dev %s root", name))
	}
	commands = append(commands, fmt.Sprintf("tc qdisc add dev %s root handle %x: %s", name, major, p.tc()))
	if dry {
		return commands, nil
	}
	if old.handle != 0 {
		// A change in place would keep the parameters that the tc command doesn't name.
		if err := link.deleteQdisc(netlink.HANDLE_ROOT, old.handle); err != nil {
			return nil, err
		}
	}
	return commands, link.setQdisc("netem", netlink.HANDLE_ROOT, handle(major), p.options(false))
}

// Reset removes Set's qdisc from a link, and returns the tc command that does the
// same, or none where there is no such qdisc.
func Reset(name string) (commands []string, err error) {
	link, err := openLink(name)
	if err != nil {
		return nil, err
	}
	defer link.close()
	old, err := link.root()
	if err != nil || old.handle == 0 {
		return nil, err
	}
	return []string{fmt.Sprintf("tc qdisc del dev %s root", name)}, link.deleteQdisc(netlink.HANDLE_ROOT, old.handle)
}

// List returns what is at the root of each link of the network namespace.
func List() ([]Root, error) {
	lo, err := openLink("lo")
	if err != nil {
		return nil, err
	}
	defer lo.close()
	links, err := lo.handle.LinkList()
	if err != nil {
		return nil, fmt.Errorf("cannot list the links: %w", err)
	}
	qdiscs, err := lo.qdiscs()
	if err != nil {
		return nil, err
	}
	var out []Root
	for _, l := range links {
		root := Root{Dev: l.Attrs().Name, Loopback: l.Attrs().EncapType == "loopback"}
		for _, q := range qdiscs {
			if q.link == l.Attrs().Index && q.parent == netlink.HANDLE_ROOT && q.handle != 0 {
				root.Qdisc = fmt.Sprintf("%s %x:", q.kind, q.handle>>16)
				root.Ours, root.Totals = ours(q.handle), q.totals
				root.Link, err = q.read()
			}
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the netem of %s: %w", root.Dev, err)
		}
		out = append(out, root)
	}
	return out, nil
}

// read returns the Link of a netem of gotimeout's, and nil for another qdisc.
func (q qdisc) read() (*badnet.Link, error) {
	if q.kind != "netem" || !ours(q.handle) {
		return nil, nil
	}
	p, err := paramsIn(q.options)
	if major := int(q.handle >> 16); major < majorAlone {
		p.distribution = badnet.Distribution(major - majorSet)
	}
	l := p.link()
	return &l, err
}

// CarriesDefaultRoute tells whether a default route leads through the link.
func CarriesDefaultRoute(name string) (bool, error) {
	link, err := openLink(name)
	if err != nil {
		return false, err
	}
	defer link.close()
	routes, err := link.handle.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return false, fmt.Errorf("cannot list the routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst != nil && !strings.HasSuffix(r.Dst.String(), "/0") {
			continue
		}
		if r.LinkIndex == link.attrs.Index {
			return true, nil
		}
		for _, hop := range r.MultiPath {
			if hop.LinkIndex == link.attrs.Index {
				return true, nil
			}
		}
	}
	return false, nil
}
