package tun

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Header is how many bytes of struct virtio_net_hdr are in front of each packet.
const Header = vnet

// MTU is the longest packet that is not of many segments.
const MTU = mtu

// outside is where packets go that are neither the loopback's nor to one of the addresses.
type outside struct {
	four, six netip.Addr
	take      func(frame []byte) bool
}

// Outside gives this network an address of IPv4 and, where it has ::1, one of IPv6, and
// sends what leaves for anywhere else through the TUN too. The plan decides about these
// packets as about the loopback's. take gets each frame when it is released, must copy it,
// must not wait, and returns false where it drops it. Send is the way back.
func (t *TUN) Outside(four, six netip.Addr, take func(frame []byte) bool) error {
	t.mu.Lock()
	t.outside = &outside{four, six, take}
	t.mu.Unlock()
	err := defaultRoute(four)
	if err == nil && t.six != nil {
		if err = enableIPv6(); err == nil {
			err = defaultRoute(six)
		}
	}
	if err != nil {
		return fmt.Errorf("the way outside: %w", err)
	}
	return nil
}

// enableIPv6 lets the TUN have an address of IPv6, which has it send no packets of its own.
func enableIPv6() error {
	for _, setting := range [][2]string{{"addr_gen_mode", "1"}, {"accept_ra", "0"}, {"disable_ipv6", "0"}} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/"+setting[0], []byte(setting[1]), 0); err != nil {
			return err
		}
	}
	return nil
}

// Large tells whether a frame may be of many segments.
func (t *TUN) Large() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.large
}

// defaultRoute gives the TUN an address, and sends everything of its family there.
func defaultRoute(addr netip.Addr) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	bits, ip := addr.BitLen(), net.IP(addr.AsSlice())
	host := netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(bits, bits)}, Flags: unix.IFA_F_NODAD}
	if err := netlink.AddrAdd(link, &host); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return netlink.RouteReplace(&netlink.Route{
		LinkIndex: link.Attrs().Index, Dst: &net.IPNet{IP: make(net.IP, len(ip)), Mask: net.CIDRMask(0, bits)},
		Src: ip, Scope: netlink.SCOPE_LINK,
	})
}

// Send sends a frame from outside to this network, which gets it when the plan says
// so. It is safe for concurrent use, and keeps no frame.
func (t *TUN) Send(frame []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.failed != nil {
		return
	}
	before, held := t.network.next()
	if t.network.send(time.Now(), frame, vnet) {
		t.write(frame)
	}
	// Also after a packet that is due at once: its copy may be held.
	if next, ok := t.network.next(); ok && (!held || next.Before(before)) {
		signal(t.wake) // the loop sleeps for too long
	}
}

// leaves tells whether a packet, which is well formed, is for the outside.
func (o *outside) leaves(packet []byte) bool {
	if o == nil {
		return false
	}
	if packet[0]>>4 == 4 {
		to := netip.AddrFrom4([4]byte(packet[16:]))
		return !to.IsLoopback() && to != o.four
	}
	to := netip.AddrFrom16([16]byte(packet[24:]))
	return !to.IsLoopback() && to != o.six
}
