package tun

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/vishvananda/netlink"
)

// Header is how many bytes of struct virtio_net_hdr are in front of each packet.
const Header = vnet

// MTU is the longest packet that is not of many segments.
const MTU = mtu

// outside is where packets go that are neither the loopback's nor addr's.
type outside struct {
	addr [4]byte
	take func(frame []byte)
}

// Outside gives this network the address addr, and sends what leaves for anywhere
// else through the TUN too. The plan decides about these packets as about the
// loopback's. take gets each frame when it is released, must copy it, and must not
// wait. Send is the way back.
func (t *TUN) Outside(addr [4]byte, take func(frame []byte)) error {
	t.mu.Lock()
	t.outside = &outside{addr, take}
	t.mu.Unlock()
	if err := defaultRoute(addr); err != nil {
		return fmt.Errorf("the way outside: %w", err)
	}
	return nil
}

// Large tells whether a frame may be of many segments.
func (t *TUN) Large() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.large
}

func defaultRoute(addr [4]byte) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	host := net.IPNet{IP: addr[:], Mask: net.CIDRMask(32, 32)}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: &host}); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return netlink.RouteReplace(&netlink.Route{
		LinkIndex: link.Attrs().Index, Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
		Src: addr[:], Scope: netlink.SCOPE_LINK,
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

// leaves tells whether a packet is for the outside.
func (o *outside) leaves(packet []byte) bool {
	const dst = 16 // of IPv4: no packet of IPv6 leaves
	return o != nil && packet[0]>>4 == 4 && packet[dst] != 127 && [4]byte(packet[dst:]) != o.addr
}
