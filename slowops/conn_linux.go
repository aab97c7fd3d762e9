package slowops

import (
	"net"

	"golang.org/x/sys/unix"
)

const (
	errRefused = unix.ECONNREFUSED
	errReset   = unix.ECONNRESET
)

// ending asks the kernel how a close will end the connection. Most connections are cut
// while the server works, and for these it is enough to peek at the next byte. It asks for
// TCP_INFO only where the server has sent its FIN, or the connection was reset.
func ending(tcp *net.TCPConn) string {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return endNone
	}
	how := endNone
	_ = raw.Control(func(fd uintptr) {
		var next [1]byte
		n, _, err := unix.Recvfrom(int(fd), next[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN:
			how = EndFIN
		case err != nil, n > 0:
			how = EndRST
		default:
			how = endingOf(int(fd))
		}
	})
	return how
}

// endingOf returns the reason why there is nothing more to read.
func endingOf(fd int) string {
	const closed, closeWait = 7, 8
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	switch {
	case err != nil:
		return endNone
	case info.State == closed:
		return EndRST
	case info.State == closeWait:
		return EndPeer
	}
	return endNone
}
