package slowops

import (
	"net"
	"syscall"
)

// The errors of Windows. syscall.ECONNREFUSED and its like are invented numbers there.
const (
	errRefused = syscall.Errno(10061) // WSAECONNREFUSED
	errReset   = syscall.WSAECONNRESET
)

func ending(*net.TCPConn) string { return endNone }
