package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gotimeout/internal/report"
	"gotimeout/internal/results"
)

// A search that is interrupted in its sweep recommends from the sample, and shows the sweep so
// far. A report of its records prints the same. The test compares times, so it runs
// alone in the package, and at a rate that leaves the processors idle.
func TestRecommendInterrupted(t *testing.T) {
	dir := t.TempDir()
	file, page := filepath.Join(dir, "results.jsonl"), filepath.Join(dir, "page.html")
	cmd := exec.Command(os.Args[0], "recommend", "--op=cache", "--delay=5ms", "--strategies=goroutine-abandon",
		"--false-timeouts=50%", "--requests=100", "--rate=50", "--out="+file, "--html="+page)
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0")
	var stdout, stderr lockedBuffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an answer of the sweep is written", func() bool {
		text, _ := os.ReadFile(file)
		_, sweep, _ := bytes.Cut(text, []byte(`"cell":2,"strategy":"goroutine-abandon"`))
		return bytes.Contains(sweep, []byte(`"type":"request"`))
	})
	_ = cmd.Process.Signal(os.Interrupt)
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("%v, stderr %s", err, &stderr)
	}
	r, err := readRecords(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := results.Recommend(r.Results, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(rec.Sample.Took); n != 100 || rec.Timeout < 6 || rec.Timeout > 5000 || len(rec.Sweep) != 1 || !r.Interrupted {
		t.Errorf("%d calls, timeout %v, swept %+v", n, rec.Timeout, rec.Sweep)
	}
	var again bytes.Buffer
	if err := report.Recommendation(&again, rec, 80); err != nil || again.String() != stdout.String() {
		t.Errorf("%v; from the file %s\nwant %s", err, &again, &stdout)
	}
	if !strings.Contains(strings.ReplaceAll(stdout.String(), "\n", " "), "50% of the calls of cache that would have completed") ||
		!strings.Contains(stderr.String(), "100 calls without a timeout take 2s, and") {
		t.Errorf("stdout %s\nstderr %s", &stdout, &stderr)
	}
	if text, err := os.ReadFile(page); err != nil || !bytes.HasSuffix(bytes.TrimSpace(text), []byte("</html>")) {
		t.Errorf("%v, %s", err, text)
	}
}
