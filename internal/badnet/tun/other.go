//go:build !linux

package tun

import (
	"errors"
	"runtime"

	"gotimeout/internal/badnet"
)

// Open returns an error that says that there is no TUN driver here.
func Open(uint64) (badnet.Driver, error) {
	return nil, errors.New("the tun driver needs Linux, and this is " + runtime.GOOS)
}
