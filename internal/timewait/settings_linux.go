package timewait

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"gotimeout/internal/badnet/private"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// set changes settings of this network, and returns what undoes it. They are
// names under net.ipv4, each with its value behind it.
func set(namesAndValues ...string) (undo func(), err error) {
	var before []string
	undo = func() {
		for i := 0; i+1 < len(before); i += 2 {
			_ = private.Sysctl("ipv4/"+before[i], before[i+1]) // as it was
		}
	}
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		name, value := namesAndValues[i], namesAndValues[i+1]
		was, err := os.ReadFile("/proc/sys/net/ipv4/" + name)
		if err == nil {
			err = private.Sysctl("ipv4/"+name, value)
		}
		if err != nil {
			undo()
			return nil, fmt.Errorf("net.ipv4.%s can't be set: %w", name, err)
		}
		before = append(before, name, strings.TrimSpace(string(was)))
	}
	return undo, nil
}

// hasSetting tells whether this kernel has the setting net.ipv4.name.
func hasSetting(name string) bool {
	_, err := os.Stat("/proc/sys/net/ipv4/" + name)
	return err == nil
}

// link takes the loopback down, or up again. What is sent while it is down is
// lost.
func link(up bool) error {
	lo, err := netlink.LinkByName("lo")
	if err == nil && up {
		err = netlink.LinkSetUp(lo)
	} else if err == nil {
		err = netlink.LinkSetDown(lo)
	}
	if err != nil {
		return fmt.Errorf("the loopback's link: %w", err)
	}
	return nil
}

// addAddress gives this machine another address for the time until undo.
func addAddress(ip string) (undo func(), err error) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, fmt.Errorf("the loopback's link: %w", err)
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

// noReuseAddr takes back the SO_REUSEADDR that Go sets.
func noReuseAddr() control { return option(unix.SOL_SOCKET, unix.SO_REUSEADDR, 0) }

// receiveBuffer bounds what a connection holds that nobody has read.
func receiveBuffer(bytes int) control { return option(unix.SOL_SOCKET, unix.SO_RCVBUF, bytes) }

// bindNoPort leaves the port to connect where an address alone is bound.
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
