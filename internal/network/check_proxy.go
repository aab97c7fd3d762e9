package network

import (
	"context"

	"gotimeout/internal/badnet"
)

// CheckProxy measures a profile by way of proxies. What a proxy can't do is an
// error that is badnet.ErrCannot.
func CheckProxy(ctx context.Context, p badnet.Profile, why string) (*Check, error) {
	return nil, badnet.Cannot("there is no proxy driver yet")
}
