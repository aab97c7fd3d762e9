package slowops

import (
	"net"

	"golang.org/x/sys/unix"
)

const (
	errRefused = unix.ECONNREFUSED
	errReset   = unix.ECONNRESET
)

// ending asks the kernel how a close will end the connection.
func ending(tcp *net.TCPConn) string {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return endNone
	}
	how := endNone
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		unread, _ := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
		const established, closed, closeWait = 1, 7, 8
		switch {
		case info.State == closed, unread > 0:
			how = EndRST
		case info.State == closeWait:
			how = EndPeer
		case info.State == established:
			how = EndFIN
		}
	})
	return how
}
