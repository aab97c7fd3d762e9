package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gotimeout/internal/results"
)

// A short atlas against a lab, with the real servers that the environment names: each call
// has a complete receipt, a call that ignores its context is never cut short by a context,
// and report shows the same text again.
func TestAtlas(t *testing.T) {
	slow(t)
	dir := t.TempDir()
	file, page, text := filepath.Join(dir, "atlas.json"), filepath.Join(dir, "atlas.html"), filepath.Join(dir, "atlas.md")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "atlas", "--ops=http,db,cpu", "--repeat=1", "--out="+file, "--html="+page, "--markdown="+text)
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0", "MYSQL_DSN="+real.dbDSN)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, &stdout, &stderr)
	}
	r, err := readRecords(file, nil)
	if err != nil || r.atlas == nil {
		t.Fatal(err)
	}
	if len(r.atlas.Networks) != 2 || r.atlas.Interrupted {
		t.Errorf("networks %+v, interrupted %v", r.atlas.Networks, r.atlas.Interrupted)
	}
	for _, cell := range r.atlas.Cells {
		i := slices.IndexFunc(r.atlas.Clients, func(c results.Client) bool { return c.Op == cell.Op && c.With == cell.With })
		if cell.Why != "" {
			continue
		}
		if len(cell.Runs) != 1 || cell.Runs[0].Receipt == nil || !cell.Runs[0].Receipt.Complete {
			t.Errorf("%s: %+v", cell.ID(), cell.Runs)
			continue
		}
		answered := *cell.Runs[0].Receipt.Answered
		if cell.Strategy == results.SampleName() && cell.Runs[0].Receipt.Error == nil && answered < r.atlas.Clients[i].Delay-10 {
			t.Errorf("%s: %v ms", cell.ID(), answered)
		}
	}
	again, code := programOutput(t, "report", file)
	if code != 0 || again != stdout.String() {
		t.Errorf("exit code %d\n%s\nwant\n%s", code, again, &stdout)
	}
	for path, end := range map[string]string{page: "</html>", text: "|"} {
		if content, err := os.ReadFile(path); err != nil || !bytes.HasSuffix(bytes.TrimSpace(content), []byte(end)) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Ctrl-C ends an atlas with the cells until then.
func TestAtlasInterrupted(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "atlas", "--repeat=100", "--network=none")
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0")
	var stdout, stderr lockedBuffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a call was made", func() bool { return strings.Contains(stderr.String(), "call 1 of ") })
	_ = cmd.Process.Signal(os.Interrupt)
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted || !strings.Contains(stdout.String(), "The atlas was interrupted") {
		t.Errorf("%v, stdout %s\nstderr %s", err, &stdout, &stderr)
	}
}
