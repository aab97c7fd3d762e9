package sockets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// The messages of sock_diag(7), which x/sys doesn't have.
const (
	tcpDiagGetSock   = 18 // the older request
	sockDiagByFamily = 20
	headerSize       = unix.SizeofNlMsghdr
	olderRequestSize = 60 // struct inet_diag_req
	olderStatesAt    = 52 // in it
	requestSize      = 56 // struct inet_diag_req_v2
	answerSize       = 72 // struct inet_diag_msg
	idAt             = 4  // of struct inet_diag_sockid in an answer
)

// Each calls f for every TCP socket of this network, IPv4 and IPv6, that is in one of the states. Each socket is as it was at some
// time during the call: the calls of f are no snapshot.
func Each(states States, f func(Socket)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return fmt.Errorf("sock_diag: %w", err)
	}
	defer unix.Close(fd)
	if err := dump(fd, states, f); err != nil {
		return fmt.Errorf("sock_diag: %w", err)
	}
	return nil
}

// dump asks by the older request, which is for both families: the newer one is for one of them, and each makes the kernel go
// through all of its table of connections, which takes a millisecond or longer.
func dump(fd int, states States, f func(Socket)) error {
	b := make([]byte, headerSize+olderRequestSize)
	putHeader(b, tcpDiagGetSock, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	binary.NativeEndian.PutUint32(b[headerSize+olderStatesAt:], uint32(states))
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 32<<10) // the kernel's answers are no longer
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

// putHeader writes the header of a message.
func putHeader(b []byte, kind, flags uint16) {
	binary.NativeEndian.PutUint32(b[0:], uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], kind)
	binary.NativeEndian.PutUint16(b[6:], flags)
}

// each reads a packet of messages, and returns whether it was the last packet.
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
		case sockDiagByFamily, tcpDiagGetSock:
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

// Known returns whether the kernel knows this end of a connection, in any state but LISTEN. It does not know an end that was reset;
// it keeps the end that closed first, in TIME-WAIT.
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

// question makes a request for one socket.
func question(local, remote netip.AddrPort) []byte {
	b := make([]byte, headerSize+requestSize)
	putHeader(b, sockDiagByFamily, unix.NLM_F_REQUEST)
	b[headerSize], b[headerSize+1] = family(local.Addr()), unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[headerSize+4:], uint32(All))
	id := b[headerSize+8:]
	binary.BigEndian.PutUint16(id[0:], local.Port())
	binary.BigEndian.PutUint16(id[2:], remote.Port())
	copy(id[4:20], local.Addr().Unmap().AsSlice())
	copy(id[20:36], remote.Addr().Unmap().AsSlice())
	for i := 40; i < 48; i++ {
		id[i] = 0xff // INET_DIAG_NOCOOKIE: any cookie
	}
	return b
}

func family(a netip.Addr) byte {
	if a.Unmap().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// Count returns the counters. A counter that this kernel does not have is 0.
func Count() (c Counters, err error) {
	self, err := procfs.Self()
	if err != nil {
		return c, fmt.Errorf("read the kernel's counters: %w", err)
	}
	snmp, err := self.Snmp()
	if err != nil {
		return c, fmt.Errorf("read the kernel's counters: %w", err)
	}
	netstat, err := self.Netstat()
	if err != nil {
		return c, fmt.Errorf("read the kernel's counters: %w", err)
	}
	for from, to := range map[*float64]*uint64{
		snmp.ActiveOpens: &c.Opened, snmp.PassiveOpens: &c.Accepted,
		snmp.OutRsts: &c.Resets, snmp.EstabResets: &c.ResetsSeen,
		netstat.TCPAbortOnData: &c.AbortOnData, netstat.TCPAbortOnClose: &c.AbortOnClose,
		netstat.TW: &c.TimeWaits, netstat.TWRecycled: &c.TimeWaitReuse,
	} {
		if from != nil {
			*to = uint64(*from)
		}
	}
	return c, nil
}

// Setting returns a setting of this network, such as "tcp_tw_reuse", which is net.ipv4.tcp_tw_reuse. A setting with several values
// has a space between them.
func Setting(name string) (string, error) {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return "", fmt.Errorf("read the setting net.ipv4.%s: %w", name, err)
	}
	values, err := proc.SysctlStrings("net.ipv4." + name)
	if err != nil {
		return "", fmt.Errorf("read the setting net.ipv4.%s: %w", name, err)
	}
	return strings.Join(values, " "), nil
}
