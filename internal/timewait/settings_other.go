//go:build !linux

package timewait

import (
	"syscall"

	"gotimeout/internal/sockets"
)

// control is net.ListenConfig's.
type control func(network, address string, c syscall.RawConn) error

func set(...string) (func(), error)     { return nil, sockets.ErrUnsupported }
func addAddress(string) (func(), error) { return nil, sockets.ErrUnsupported }
func link(bool) error                   { return sockets.ErrUnsupported }
func noReuseAddr() control              { return nil }
func receiveBuffer(int) control         { return nil }
func bindNoPort() control               { return nil }
