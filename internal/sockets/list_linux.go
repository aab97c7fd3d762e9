package sockets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// The messages of sock_diag(7), which x/sys doesn't have.
const (
	sockDiagByFamily = 20
	headerSize       = unix.SizeofNlMsghdr
	requestSize      = 56 // struct inet_diag_req_v2
	answerSize       = 72 // struct inet_diag_msg
	idAt             = 4  // of struct inet_diag_sockid in an answer
)

// Each calls f for every TCP socket of this network that is in one of the
// states, IPv4 and IPv6. It is as it was at some time in between.
func Each(states States, f func(Socket)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return fmt.Errorf("sock_diag: %w", err)
	}
	defer unix.Close(fd)
	buf := make([]byte, 32<<10) // the most that the kernel puts in an answer
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		if err := dump(fd, buf, family, states, f); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("sock_diag: %w", err)
		}
	}
	return nil
}

func dump(fd int, buf []byte, family byte, states States, f func(Socket)) error {
	if err := unix.Sendto(fd, request(family, states, unix.NLM_F_REQUEST|unix.NLM_F_DUMP), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		done, err := each(buf[:n], f)
		if done || err != nil {
			return err
		}
	}
}

// request makes a struct inet_diag_req_v2 with its header.
func request(family byte, states States, flags uint16) []byte {
	b := make([]byte, headerSize+requestSize)
	binary.NativeEndian.PutUint32(b[0:], uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(b[6:], flags)
	b[headerSize], b[headerSize+1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[headerSize+4:], uint32(states))
	return b
}

// each reads a packet of messages, and tells whether it was the last.
func each(b []byte, f func(Socket)) (done bool, err error) {
	for len(b) >= headerSize {
		size := int(binary.NativeEndian.Uint32(b))
		if size < headerSize || size > len(b) {
			return false, os.ErrInvalid
		}
		body := b[headerSize:size]
		switch binary.NativeEndian.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			if len(body) >= 4 {
				if errno := int32(binary.NativeEndian.Uint32(body)); errno != 0 {
					return true, unix.Errno(-errno)
				}
			}
			return true, nil
		case sockDiagByFamily:
			if len(body) >= answerSize {
				f(socket(body))
			}
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return false, nil
}

// socket reads a struct inet_diag_msg.
func socket(b []byte) Socket {
	id := b[idAt:]
	return Socket{State(b[1]), addrPort(b[0], id[4:], id[0:]), addrPort(b[0], id[20:], id[2:])}
}

func addrPort(family byte, ip, port []byte) netip.AddrPort {
	addr := netip.AddrFrom16([16]byte(ip[:16])).Unmap()
	if family == unix.AF_INET {
		addr = netip.AddrFrom4([4]byte(ip[:4]))
	}
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(port))
}
