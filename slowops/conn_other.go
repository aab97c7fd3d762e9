//go:build !linux && !windows

package slowops

import (
	"net"
	"syscall"
)

const (
	errRefused = syscall.ECONNREFUSED
	errReset   = syscall.ECONNRESET
)

func ending(*net.TCPConn) string { return endNone }
