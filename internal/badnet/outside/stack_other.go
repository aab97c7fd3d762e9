//go:build !linux

package outside

import (
	"errors"

	"gotimeout/internal/badnet"
)

// Stack is what there is of one without a TUN: nothing.
type Stack struct{}

// NewStack returns an error that says that there is no way outside here.
func NewStack(Dialer, badnet.Driver) (*Stack, error) { return nil, errNoTUN }

// Close does nothing.
func (*Stack) Close() error { return nil }

// Unrouted returns an error: only Linux tells.
func Unrouted() (int, error) { return 0, errors.ErrUnsupported }
