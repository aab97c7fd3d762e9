package timewait

import (
	"fmt"
	"syscall"

	"gotimeout/internal/badnet/private"
	"gotimeout/internal/sockets"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// set changes settings of this network, and returns a function that restores them. A setting is a name under net.ipv4 and, behind
// it, its value.
func set(namesAndValues ...string) (undo func(), err error) {
	var before []string
	undo = func() {
		for i := 0; i+1 < len(before); i += 2 {
			_ = private.Sysctl("ipv4/"+before[i], before[i+1]) // as it was
		}
	}
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		name, value := namesAndValues[i], namesAndValues[i+1]
		was, err := sockets.Setting(name)
		if err == nil {
			err = private.Sysctl("ipv4/"+name, value)
		}
		if err != nil {
			undo()
			return nil, fmt.Errorf("set net.ipv4.%s: %w", name, err)
		}
		before = append(before, name, was)
	}
	return undo, nil
}

// link takes the loopback up or down. Packets that are sent while it is down are lost.
func link(up bool) error {
	lo, err := netlink.LinkByName("lo")
	if err == nil && up {
		err = netlink.LinkSetUp(lo)
	} else if err == nil {
		err = netlink.LinkSetDown(lo)
	}
	if err != nil {
		return fmt.Errorf("the loopback: %w", err)
	}
	return nil
}

// addAddress gives the loopback another address, until undo.
func addAddress(ip string) (undo func(), err error) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, fmt.Errorf("the loopback: %w", err)
	}
	addr, err := netlink.ParseAddr(ip + "/32")
	if err == nil {
		err = netlink.AddrAdd(lo, addr)
	}
	if err != nil {
		return nil, fmt.Errorf("address %s: %w", ip, err)
	}
	return func() { _ = netlink.AddrDel(lo, addr) }, nil
}

// control sets an option of a socket before it is bound, for net's ListenConfig and Dialer.
type control func(network, address string, c syscall.RawConn) error

// noReuseAddr clears the SO_REUSEADDR that Go sets.
func noReuseAddr() control { return option(unix.SOL_SOCKET, unix.SO_REUSEADDR, 0) }

// receiveBuffer bounds the bytes of a connection that wait for a reader.
func receiveBuffer(bytes int) control { return option(unix.SOL_SOCKET, unix.SO_RCVBUF, bytes) }

// bindNoPort binds an address alone: connect chooses the port.
func bindNoPort() control { return option(unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) }

func option(level, name, value int) control {
	return func(_, _ string, c syscall.RawConn) (err error) {
		if failed := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), level, name, value)
		}); failed != nil {
			return failed
		}
		return err
	}
}
