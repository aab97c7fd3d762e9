package lab_test

import (
	"log/slog"
	"os"
	"testing"

	"gotimeout/internal/lab"

	"golang.org/x/sys/unix"
)

// Where file descriptors run out while a lab is opened, Open returns an error and closes
// all that it had opened.
func TestOpenWithoutDescriptors(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before) }()
	refused := 0
	for more := range uint64(64) {
		next, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		few := before
		few.Cur = uint64(next.Fd()) + more
		next.Close()
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
			t.Fatal(err)
		}
		l, err := lab.Open(t.Context(), settings, slog.New(slog.DiscardHandler))
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before)
		if err != nil {
			refused++
			continue
		}
		l.Close()
	}
	if refused < 10 || refused == 64 {
		t.Errorf("%d of 64 labs were refused for want of descriptors", refused)
	}
}
