//go:build !linux

package sockets

import "net/netip"

func Each(States, func(Socket)) error                  { return ErrUnsupported }
func Known(local, remote netip.AddrPort) (bool, error) { return false, ErrUnsupported }
func Count() (Counters, error)                         { return Counters{}, ErrUnsupported }
func Setting(name string) (string, error)              { return "", ErrUnsupported }
