//go:build unix

package outside_test

import (
	"strings"
	"syscall"
	"testing"

	"gotimeout/internal/badnet/outside"
)

// A relay whose socket listens no more says so, and one that is closed does not.
func TestRelayWithoutItsListener(t *testing.T) {
	for _, lost := range []bool{true, false} {
		r, err := outside.NewRelay(new(direct), "127.0.0.1:0", "tcp", "127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		if lost {
			f, err := r.Listener().File() // the same socket
			if err != nil {
				t.Fatal(err)
			}
			err = syscall.Shutdown(int(f.Fd()), syscall.SHUT_RDWR)
			f.Close()
			if err != nil {
				t.Fatal(err)
			}
			if err, ok := <-r.Failed(); !ok || !strings.HasPrefix(err.Error(), "the relay to 127.0.0.1:1 has lost its listener: ") {
				t.Errorf("%v, %t", err, ok)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err, ok := <-r.Failed(); ok {
			t.Errorf("closed: %v", err)
		}
	}
}
