package sockets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Known tells whether the kernel knows this end of a connection, in any state
// but LISTEN: one that was reset it knows no more, and one that was closed
// first it keeps in TIME-WAIT.
func Known(local, remote netip.AddrPort) (bool, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return false, fmt.Errorf("sock_diag: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, question(local, remote), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return false, fmt.Errorf("sock_diag: %w", err)
	}
	buf := make([]byte, 4<<10)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return false, fmt.Errorf("sock_diag: %w", err)
	}
	found := false
	_, err = each(buf[:n], func(s Socket) { found = s.State != Listen })
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return found, err
}

// question asks for one socket instead of a dump.
func question(local, remote netip.AddrPort) []byte {
	b := request(family(local.Addr()), All, unix.NLM_F_REQUEST)
	id := b[headerSize+8:]
	binary.BigEndian.PutUint16(id[0:], local.Port())
	binary.BigEndian.PutUint16(id[2:], remote.Port())
	copy(id[4:20], local.Addr().Unmap().AsSlice())
	copy(id[20:36], remote.Addr().Unmap().AsSlice())
	for i := 40; i < 48; i++ {
		id[i] = 0xff // whatever its cookie
	}
	return b
}

func family(a netip.Addr) byte {
	if a.Unmap().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
