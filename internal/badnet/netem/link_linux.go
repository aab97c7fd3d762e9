package netem

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// link is a link of the network namespace in which it was opened, whichever one
// its user is in later.
type link struct {
	name    string
	handle  *netlink.Handle
	attrs   *netlink.LinkAttrs
	lo      bool
	header  int // bytes of its own that a packet's length counts
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

// setQdisc changes the qdisc with that handle, on the packets in it too, or puts
// a new one in the place of what its parent has.
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

// explain makes a sentence of what the kernel answered.
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
