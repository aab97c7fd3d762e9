//go:build !linux

package sockets

// Each returns ErrUnsupported.
func Each(States, func(Socket)) error { return ErrUnsupported }

// Count returns ErrUnsupported.
func Count() (Counters, error) { return Counters{}, ErrUnsupported }
