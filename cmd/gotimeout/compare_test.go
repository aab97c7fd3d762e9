package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gotimeout/internal/load"
	"gotimeout/internal/results"
)

// Each kind of fault shows in its column, and only in the rows that have the fault.
func TestCompareShowsFaults(t *testing.T) {
	t.Parallel()
	faults := map[string]faulty{
		"a leaked goroutine":         {"leaky", "http", results.GoroutinesLeft, 15},
		"a late answer":              {"tardy", "http", results.OvershootP50, 60},
		"a connection never closed":  {"context-cancel", "unclosed", results.ConnectionsLeft, 15},
		"a poisoned connection":      {"context-cancel", "poisoned", results.WrongAnswers, 1},
		"a probe of poisoned pools":  {"context-cancel", "poisoned", results.ProbeFailures, 1},
		"a bound that does not bind": {"baseline", "http", results.Late, 5},
		"work for nobody":            {"io-timeout", "db", results.WastePer1000, 50},
	}
	var all sync.WaitGroup
	for name, fault := range faults {
		all.Go(func() { // the cases run at once, because they mostly wait
			missed := fault.missed(compareFaulty(t, fault.strategy, fault.op))
			for try := 1; try < 3 && len(missed) > 0; try++ { // a pause of the machine may have left out what was planted
				missed = fault.missed(compareFaulty(t, fault.strategy, fault.op))
			}
			for _, what := range missed {
				t.Errorf("%s: %s", name, what)
			}
		})
	}
	all.Wait()
}

// faulty is a fault of a strategy or an op.
type faulty struct {
	strategy, op string
	column       int
	atLeast      float64 // in a row with the fault; other rows have less than half of it
}

// missed says in which rows the fault doesn't show, or shows without being there.
func (f faulty) missed(r *results.Results) (missed []string) {
	everywhere := f.op == "unclosed" || f.op == "poisoned" || // the fault is in the op, so the floor has it too
		f.column == results.OvershootP50 // a busy machine makes an overshoot too
	of := results.Columns()[f.column].Name
	for _, row := range r.Rows {
		switch figure := row.Figures[f.column]; {
		case figure == nil:
			missed = append(missed, fmt.Sprintf("%s %s: %s is not known", row.Strategy, row.Op, of))
		case row.Floor && !everywhere && *figure >= f.atLeast/2:
			missed = append(missed, fmt.Sprintf("%s is %v of a %s", of, *figure, row.Strategy))
		case !row.Floor && *figure < f.atLeast:
			missed = append(missed, fmt.Sprintf("%s is %v of %s, want at least %v", of, *figure, row.Strategy, f.atLeast))
		}
	}
	return missed
}

// compareFaulty runs a comparison on the lab with planted faults.
func compareFaulty(t *testing.T, strategy, op string) *results.Results {
	none := new(results.Results)
	url, stop, err := startFaulty(t.Context())
	if err != nil {
		t.Error(err)
		return none
	}
	defer stop()
	lab, err := load.OpenLab(url, "")
	if err != nil {
		t.Error(err)
		return none
	}
	defer lab.Close()
	collector := results.NewCollector()
	c := load.Comparison{Lab: lab, Record: collector.Add, Plan: load.Plan{
		Strategies: []string{strategy}, Ops: []string{op}, Ctxs: []string{"aware"},
		Timeouts: []time.Duration{200 * time.Millisecond},
		Delays:   []time.Duration{10 * time.Millisecond, 10 * time.Millisecond, 500 * time.Millisecond},
		Rate:     20, Duration: time.Second, Repeat: 1,
	}}
	if err := c.Run(t.Context()); err != nil {
		t.Error(err)
	}
	return collector.Results()
}

// An interrupted comparison ends its cell and reports the figures until then. A report of
// its records has the same tables.
func TestCompareInterrupted(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "results.jsonl")
	cmd := exec.Command(os.Args[0], "compare", "--ops=cache", "--delay=10ms", "--strategies=context-cancel,errgroup", "--duration=30s", "--rate=50", "--out="+file)
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0")
	var stdout, stderr lockedBuffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an answer is written", func() bool {
		text, _ := os.ReadFile(file)
		return bytes.Contains(text, []byte(`"type":"request"`))
	})
	_ = cmd.Process.Signal(os.Interrupt)
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("%v, stderr %s", err, &stderr)
	}
	if !strings.Contains(stdout.String(), "interrupted") || !strings.Contains(stderr.String(), "1/3  floor") {
		t.Errorf("stdout %s\nstderr %s", &stdout, &stderr)
	}
	var again bytes.Buffer
	if code := run(t.Context(), []string{"report", file}, os.Getenv, &again, &stderr); code != 0 || again.String() != stdout.String() {
		t.Errorf("report: exit code %d, %s\nwant %s", code, &again, &stdout)
	}
}

// A true condition makes the exit code 3, and is printed with its figure.
func TestCompareFailIf(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	args := []string{
		"compare", "--url=" + start(t).url, "--ops=cache", "--strategies=context-cancel", "--delay=10ms", "--duration=300ms", "--quiet",
		"--fail-if=context-cancel.requests >= 1", "--fail-if=failed > 0",
	}
	if code := run(t.Context(), args, os.Getenv, &stdout, &stderr); code != exitCondition {
		t.Errorf("exit code %d", code)
	}
	if want := "gotimeout: --fail-if: context-cancel.requests is 60 on op=cache"; !strings.Contains(stderr.String(), want) || strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("%s, want %q alone", &stderr, want)
	}
	if !strings.Contains(stdout.String(), "context-cancel") {
		t.Errorf("there is no table: %s", &stdout)
	}
	args[len(args)-1] = "--fail-if=context-cancel.overshot_p99_ms > 50"
	stderr.Reset()
	if code := run(t.Context(), args, os.Getenv, &stdout, &stderr); code != exitUsage || !strings.Contains(stderr.String(), "overshoot_p99_ms") {
		t.Errorf("a typo: exit code %d, %s", code, &stderr)
	}
}
