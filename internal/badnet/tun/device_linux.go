package tun

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	device = "/dev/net/tun"
	name   = "bad0"
	mtu    = 1500
	queued = 10_000 // packets between the kernel and us: none is dropped there, where nobody counts
	vnet   = 10     // bytes of struct virtio_net_hdr in front of each packet
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

// setLarge lets the kernel hand over many segments as one packet, or not. What
// it hands over it also takes back.
func setLarge(fd int, on bool) error {
	flags := 0
	if on {
		flags = unix.TUN_F_CSUM | unix.TUN_F_TSO4
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, flags); err != nil {
		return fmt.Errorf("TUNSETOFFLOAD: %w", err)
	}
	return nil
}

// signal wakes what polls an eventfd.
func signal(fd int) {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(fd, one[:])
}

// linkUp sets the device's link up.
func linkUp() (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetMTU(link, mtu)
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
