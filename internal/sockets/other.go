//go:build !linux

package sockets

import "net/netip"

// Each returns ErrUnsupported.
func Each(States, func(Socket)) error { return ErrUnsupported }

// Known returns ErrUnsupported.
func Known(local, remote netip.AddrPort) (bool, error) { return false, ErrUnsupported }

// Count returns ErrUnsupported.
func Count() (Counters, error) { return Counters{}, ErrUnsupported }
