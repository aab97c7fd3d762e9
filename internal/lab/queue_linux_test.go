package lab_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/lab"
	"gotimeout/internal/receipt"
)

// The first run that is offloaded opens the queue. It is answered at its timeout, and the queue opens
// for those that follow.
func TestQueueOpensBesideARun(t *testing.T) {
	l := openRoomy(t, nil)
	if first := finish(t, l, "/offload?op=cpu&delay=0&timeout=1ms"); *first.Status != receipt.TimedOut {
		t.Errorf("the first run: %s, %+v", *first.Status, first.Error)
	}
	if next := finish(t, l, "/offload?op=cpu&delay=0&timeout=50s"); *next.Status != receipt.Accepted {
		t.Errorf("the next run: %s, %+v", *next.Status, next.Error)
	}
}

// A full disk loses no job: each that was accepted ends when the disk has room again, and the queue takes others.
// Meanwhile a run for it is refused at once, and the lab is not ready.
func TestFullDisk(t *testing.T) {
	dir, mounted := smallDisk(t)
	if !mounted {
		return
	}
	failed := make(chan struct{})
	fails := sync.OnceFunc(func() { close(failed) })
	with := settings
	with.Data, with.MaxInFlight, with.MaxAbandoned, with.Receipts = dir, 100, 100, 100
	l, err := lab.Open(t.Context(), with, slog.New(slog.NewTextHandler(writer(func(line []byte) {
		if bytes.Contains(line, []byte("the queue has failed")) {
			fails()
		}
	}), nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	get := func(path string, status int, text string) {
		t.Helper()
		w := httptest.NewRecorder()
		l.Routes().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if w.Code != status || !strings.Contains(w.Body.String(), text) {
			t.Errorf("GET %s: %d %s, want %d with %s", path, w.Code, w.Body, status, text)
		}
	}
	const run = "/offload?op=http&delay=4s&timeout=9s"
	for range 20 {
		get(run, http.StatusAccepted, "/jobs/")
	}
	get("/readyz", http.StatusOK, `"name":"queue"`)
	accepted := l.Ledger.Last(100)

	fill(t, filepath.Join(dir, "other"))
	began := time.Now()
	get(run, http.StatusServiceUnavailable, "queue_disk")
	get("/readyz", http.StatusServiceUnavailable, "the queue can't write to its disk")
	select {
	case <-failed:
	case <-time.After(30 * time.Second):
		t.Fatal("the end of no job needed the disk")
	}
	get(run, http.StatusServiceUnavailable, "queue_disk")
	get("/readyz", http.StatusServiceUnavailable, "the queue can't write to its disk")
	if d := time.Since(began); d > 8*time.Second {
		t.Errorf("the refusals took %s", d)
	}

	if err := os.Remove(filepath.Join(dir, "other")); err != nil {
		t.Fatal(err)
	}
	within, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, rc := range accepted {
		rc.Wait(within)
		if v := rc.View(); !v.Complete {
			t.Fatalf("a job has no end, with room for 30s: %+v", v)
		} else if *v.Status == receipt.Accepted {
			get("/jobs/"+v.ID, http.StatusOK, `"state":"done"`)
		}
	}
	get("/readyz", http.StatusOK, `,"ready":true}`)
	get(run, http.StatusAccepted, "/jobs/")
}

// writer is an io.Writer that hands on what is written.
type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

// fill fills the disk with a file.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for some := make([]byte, 1<<20); err == nil; {
		_, err = f.Write(some)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// smallDisk runs the test again in namespaces of its own, where the directory is a disk of 32 MiB. There it
// returns true.
func smallDisk(t *testing.T) (dir string, mounted bool) {
	t.Helper()
	const variable = "GOTIMEOUT_TEST_SMALL_DISK"
	if dir = os.Getenv(variable); dir != "" {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
			t.Skipf("a small disk can't be mounted: %v", err)
		}
		return dir, true
	}
	again := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), variable+"="+t.TempDir())
	again.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := again.CombinedOutput()
	switch {
	case again.Process == nil:
		t.Skipf("there can be no namespace for a small disk: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	}
	return "", false
}
