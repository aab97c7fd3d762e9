package slowops

import (
	"net"
	"syscall"
)

// The errors of Windows. There syscall.ECONNREFUSED and similar constants are numbers that Go
// invented.
const (
	errRefused = syscall.Errno(10061) // WSAECONNREFUSED
	errReset   = syscall.WSAECONNRESET
)

func ending(*net.TCPConn) string { return endNone }
