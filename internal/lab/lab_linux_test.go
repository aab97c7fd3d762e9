package lab_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"gotimeout/internal/backends"
	"gotimeout/internal/backends/backendtest"
	httpbackend "gotimeout/internal/backends/http"
	"gotimeout/internal/lab"
	"gotimeout/internal/receipt"

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

// A dial that goes on when its run is complete still has the run's descriptors, and gives them back when it ends.
func TestOutlivedDialsHaveDescriptors(t *testing.T) {
	targets, err := httpbackend.StartTargets(backends.Options{})
	if err != nil {
		t.Fatal(err)
	}
	end := sync.OnceValue(targets.Close)
	defer func() { _ = end() }()
	url := targets.URLs["blackhole"]
	host := strings.TrimPrefix(url, "http://")
	l := openRoomy(t, opsOf(t, "--http-url="+url, "--redis-url=redis://"+host, "--postgres-url=postgres://lab@"+host+"/lab?sslmode=disable",
		"--grpc-target="+host, "--cache-addr="+host, "--db-dsn=lab@tcp("+host+")/lab"))
	held := 0
	for _, op := range []struct {
		name     string
		outlived int
		files    int // while the dial goes on
	}{{"http", 1, 1}, {"redis", 1, 1}, {"postgres", 1, 1}, {"cache", 0, 0}, {"db", 0, 0}, {"grpc", 1, 0}} { // that of grpc ends with the channel's connection
		if v := leftAtDial(t, l, op.name); v.OutlivedDials != op.outlived {
			t.Errorf("%s: %d dials outlived the call, error %+v", op.name, v.OutlivedDials, v.Error)
		}
		held += op.files
		backendtest.Eventually(t, "the runs have the descriptors of their dials", func() bool { return l.Ledger.Counts() == receipt.Counts{Descriptors: held} })
	}
	if err := end(); err != nil { // the next try of each dial is refused
		t.Error(err)
	}
	backendtest.Eventually(t, "the dials have ended", func() bool { return l.Ledger.Counts() == receipt.Counts{} })
}

// leftAtDial runs an op for a caller that leaves when the dial has begun, and returns the complete receipt.
func leftAtDial(t *testing.T, l *lab.Lab, op string) receipt.View {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	over := make(chan bool)
	go func() {
		defer close(over)
		l.Routes().ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/context-cancel?timeout=50s&delay=0&op="+op, nil))
	}()
	backendtest.Eventually(t, op+" dials", func() bool {
		last := l.Ledger.Last(1)
		return len(last) == 1 && last[0].Run().Slow == op && len(last[0].View().Phases) > 0
	})
	leave()
	<-over
	rc := l.Ledger.Last(1)[0]
	rc.Wait(t.Context())
	return rc.View()
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
