package netem

import (
	"errors"
	"fmt"
	"sync"

	"gotimeout/internal/badnet"

	"github.com/vishvananda/netlink"
)

var _ badnet.Driver = (*Netem)(nil)

// Netem is the badnet.Driver of a link. It is safe for concurrent use.
type Netem struct {
	mu   sync.Mutex
	link *link
	now  layout
	past badnet.Totals // of the qdiscs that were removed
	over bool          // closed
}

// Open takes over a link of the current network namespace, and stays with that
// namespace. It adds a netem at once, and so returns an error where the kernel has
// none or forbids it. On a loopback packets have at most 1500 bytes from then on,
// and the kernel does not merge them: netem counts a merged packet as one.
// Connections that are open already keep their longer packets.
func Open(name string) (*Netem, error) {
	link, err := openLink(name)
	if err != nil {
		return nil, err
	}
	n := &Netem{link: link}
	if err := n.open(); err != nil {
		link.close()
		return nil, err
	}
	return n, nil
}

func (n *Netem) open() error {
	if _, err := n.link.root(); err != nil {
		return err
	}
	if err := n.Apply(badnet.Plan{}); err != nil {
		return err
	}
	if err := n.segment(fullPacket, 1); err != nil {
		return errors.Join(err, n.removeRoot())
	}
	return nil
}

// segment sets the longest packet of a loopback, and how many packets the kernel
// merges into one.
func (n *Netem) segment(mtu, segments int) error {
	if !n.link.lo {
		return nil
	}
	device := &netlink.Device{LinkAttrs: *n.link.attrs}
	if err := n.link.handle.LinkSetMTU(device, mtu); err != nil {
		return fmt.Errorf("cannot set the longest packet of %s to %d bytes: %w", n.link.name, mtu, err)
	}
	if err := n.link.handle.LinkSetGSOMaxSegs(device, segments); err != nil {
		return fmt.Errorf("cannot make %s take packets one by one: %w", n.link.name, err)
	}
	return nil
}

// Apply changes the network. Packets under way keep their times. They are dropped
// only where the qdiscs change between one netem and a tree: with the first or the
// last port that has a profile of its own, and with the first or the last rate,
// burst, correlation or jitter of the profile for all.
func (n *Netem) Apply(plan badnet.Plan) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	next, err := layoutOf(plan, n.link.header)
	if err != nil {
		return err
	}
	if err := n.apply(next); err != nil {
		if len(n.now.netems) == 0 {
			return err
		}
		if undo := n.apply(n.now); undo != nil {
			return errors.Join(err, fmt.Errorf("and the network is no longer what it was: %w", undo))
		}
		return err
	}
	n.now = next
	return nil
}

// Totals counts the packets of both directions.
func (n *Netem) Totals() (badnet.Totals, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	present, err := n.present()
	if err != nil {
		return badnet.Totals{}, err
	}
	sum := n.past
	for _, q := range present {
		sum = add(sum, q)
	}
	return sum, nil
}

// Close removes the qdiscs and restores the packet size of a loopback. A second
// Close does nothing.
func (n *Netem) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over {
		return nil
	}
	n.over = true
	defer n.link.close()
	return errors.Join(n.removeRoot(), n.segment(n.link.attrs.MTU, int(n.link.attrs.GSOMaxSegs)))
}

func add(sum badnet.Totals, q qdisc) badnet.Totals {
	if q.kind == "netem" { // the root of a tree counts the same packets again
		sum.Packets += q.totals.Packets
		sum.Dropped += q.totals.Dropped
	}
	return sum
}
