package tun

import (
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The tables of the two ways of a packet: out by the TUN, and from there in.
const (
	inward  = 100
	outward = 101
)

var loopback = net.IPNet{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}

// route sends what goes to 127.0.0.0/8 out by the TUN, and takes what comes in
// by it as local. The rule for the table local, which is 0 and would come
// before, moves behind.
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
	for _, r := range []*netlink.Route{&in, &out} {
		if err := netlink.RouteReplace(r); err != nil {
			return fmt.Errorf("table %d: %w", r.Table, err)
		}
	}
	return rules(tun.Attrs().Name)
}

func rules(tun string) error {
	add := func(priority, table int, iif string, dst *net.IPNet) error {
		r := netlink.NewRule()
		r.Family, r.Priority, r.Table, r.IifName, r.Dst = unix.AF_INET, priority, table, iif, dst
		if err := netlink.RuleAdd(r); err != nil {
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
	if err := netlink.RuleDel(local); err != nil {
		return fmt.Errorf("rule 0: %w", err)
	}
	return nil
}
