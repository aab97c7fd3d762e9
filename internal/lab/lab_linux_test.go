package lab_test

import (
	"log/slog"
	"os"
	"strings"
	"testing"

	"gotimeout/internal/lab"

	"golang.org/x/sys/unix"
)

// The bounds of the connections and of the runs follow the limit of open files, and fit in it together.
func TestBoundsFollowDescriptors(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if before.Cur < 1024 {
		t.Skipf("only %d files may be open", before.Cur)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before) }()
	few := before
	few.Cur = 1024
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	with := settings
	with.MaxInFlight = 2048
	l, err := lab.Open(t.Context(), with, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	connections, runs := l.MaxConnections, l.Ledger.Limits().Descriptors
	if connections < 200 || runs < 200 || connections+runs > 2*1024/3 {
		t.Errorf("of 1024 descriptors %d are for connections and %d for runs", connections, runs)
	}
	if !strings.Contains(log.String(), "file descriptors bound the lab before --max-in-flight does") {
		t.Error(log.String())
	}
}

// Where file descriptors run out while a lab is opened, Open returns an error and closes
// all that it had opened.
func TestOpenWithoutDescriptors(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before) }()
	refused := 0
	for more := range uint64(96) {
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
	if refused < 10 || refused == 96 {
		t.Errorf("%d of 96 labs were refused for want of descriptors", refused)
	}
}
