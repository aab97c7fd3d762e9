package tun

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	device = "/dev/net/tun"
	name   = "bad0"
	mtu    = 1500
	queued = 10_000 // packets between the kernel and us: none is dropped there, where nobody counts
)

// openDevice makes the TUN, in the network namespace of this process.
func openDevice() (fd int, err error) {
	fd, err = unix.Open(device, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, errors.New(device + " is missing: sudo modprobe tun, or give the container that device")
	case errors.Is(err, fs.ErrPermission):
		return 0, errors.New(device + " is not for this user: sudo chmod 666 " + device + ", as udev does")
	case err != nil:
		return 0, fmt.Errorf("%s can't be opened (%w): sudo modprobe tun", device, err)
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, vnet)
	}
	if err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("no TUN device (%w): this process needs CAP_NET_ADMIN in its network", err)
	}
	return fd, nil
}

// setLarge sets whether the kernel hands over many segments as one packet. It
// takes such packets back in any case.
func setLarge(fd int, on bool) error {
	flags := 0
	if on {
		flags = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, flags); err != nil {
		return fmt.Errorf("TUNSETOFFLOAD: %w", err)
	}
	return nil
}

// signal wakes the loop that polls an eventfd.
func signal(fd int) {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(fd, one[:])
}

// linkUp sets the device's link up, without an IPv6 address, which would send packets of
// its own.
func linkUp() (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetMTU(link, mtu)
	}
	if err == nil {
		err = disableIPv6(name)
	}
	if err == nil {
		err = netlink.LinkSetTxQLen(link, queued)
	}
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		return nil, fmt.Errorf("the TUN's link: %w", err)
	}
	return link, nil
}

// disableIPv6 takes the IPv6 addresses of a device, or of all devices, away.
func disableIPv6(of string) error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+of+"/disable_ipv6", []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a kernel without IPv6
	}
	return err
}

// The routing tables: out through the TUN, and in from it.
const (
	inward  = 100
	outward = 101
)

var loopback = net.IPNet{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}

// route sends packets to 127.0.0.0/8 out through the TUN, and takes packets from
// the TUN as local. It moves the rule of the table local, which is first, behind
// its own rules. Without the TUN the loopback is unreachable, and not good.
func route(tun netlink.Link) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"rp_filter": "0", "accept_local": "1", "route_localnet": "1",
	} {
		for _, of := range []string{"all", tun.Attrs().Name} {
			if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+of+"/"+name, []byte(value), 0); err != nil {
				return err
			}
		}
	}
	in := netlink.Route{
		LinkIndex: lo.Attrs().Index, Table: inward, Dst: &loopback,
		Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST,
	}
	out := netlink.Route{
		LinkIndex: tun.Attrs().Index, Table: outward, Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
		Src: net.IPv4(127, 0, 0, 1), Scope: netlink.SCOPE_LINK,
	}
	for _, r := range []*netlink.Route{&in, &out, unreachable()} {
		if err := netlink.RouteReplace(r); err != nil {
			return fmt.Errorf("table %d: %w", r.Table, err)
		}
	}
	return rules(tun.Attrs().Name)
}

// unreachable is behind the route to the TUN.
func unreachable() *netlink.Route {
	all := net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	return &netlink.Route{Table: outward, Dst: &all, Type: unix.RTN_UNREACHABLE, Priority: 1}
}

// rules are left by a TUN before this one, since a closed one leaves no routes that they could find.
func rules(tun string) error {
	add := func(priority, table int, iif string, dst *net.IPNet) error {
		r := netlink.NewRule()
		r.Family, r.Priority, r.Table, r.IifName, r.Dst = unix.AF_INET, priority, table, iif, dst
		if err := netlink.RuleAdd(r); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("rule %d: %w", priority, err)
		}
		return nil
	}
	if err := add(1, inward, tun, nil); err != nil {
		return err
	}
	if err := add(2, outward, "", &loopback); err != nil {
		return err
	}
	if err := add(10, unix.RT_TABLE_LOCAL, "", nil); err != nil {
		return err
	}
	local := netlink.NewRule()
	local.Family, local.Priority, local.Table = unix.AF_INET, 0, unix.RT_TABLE_LOCAL
	if err := netlink.RuleDel(local); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("rule 0: %w", err)
	}
	return nil
}
