//go:build unix

package proxy_test

import (
	"strings"
	"syscall"
	"testing"
)

// A proxy whose socket listens no more says so, and one that is closed does not.
func TestProxyWithoutItsListener(t *testing.T) {
	for _, lost := range []bool{true, false} {
		l := newLab(t, "none")
		front := l.proxies.Front(backend)
		if lost {
			f, err := l.proxies.Listener(backend).File() // the same socket
			if err != nil {
				t.Fatal(err)
			}
			err = syscall.Shutdown(int(f.Fd()), syscall.SHUT_RDWR)
			f.Close()
			if err != nil {
				t.Fatal(err)
			}
			if err, ok := <-front.Failed(); !ok || !strings.Contains(err.Error(), " has lost its listener: ") {
				t.Errorf("%v, %t", err, ok)
			}
		}
		if err := l.proxies.Close(); err != nil {
			t.Error(err)
		}
		if err, ok := <-front.Failed(); ok {
			t.Errorf("closed: %v", err)
		}
	}
}
