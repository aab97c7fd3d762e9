package tun_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"gotimeout/internal/badnet/private"
)

// TestMain runs the tests in a private network, where they may do what they
// like to the loopback.
func TestMain(m *testing.M) {
	if private.Inside() {
		if _, err := private.Enter(false); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	status, err := private.Run(private.Outside{})
	var refused *private.RefusedError
	switch {
	case errors.As(err, &refused):
		fmt.Println("skipped:", err)
		os.Exit(m.Run())
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(status)
}
