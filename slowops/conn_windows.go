package slowops

import (
	"net"
	"syscall"
)

// syscall's own names are numbers that it invented, and no error of Windows'.
const (
	errRefused = syscall.Errno(10061) // WSAECONNREFUSED
	errReset   = syscall.WSAECONNRESET
)

func ending(*net.TCPConn) string { return endNone }
