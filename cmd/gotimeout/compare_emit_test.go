package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gotimeout/internal/receipt"
)

func emitted(t *testing.T, args ...string) (script, stderr string, code int) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), append([]string{"compare", "--emit=k6"}, args...), os.Getenv, &out, &err)
	return out.String(), err.String(), code
}

// Without a lab the script has the matrix of the flags, and by default all strategies.
func TestCompareEmits(t *testing.T) {
	script, stderr, code := emitted(t, "--ops=http,db", "--ctx=aware,deaf", "--rate=50", "--fail-if=failed > 0")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	for _, want := range []string{
		`__ENV.URL || "http://127.0.0.1:8000"`,
		`{"strategy":"io-timeout","op":"db","ctx":"deaf","timeout_ms":250,"delays_ms":[10,10,10,1000]}`,
		`{"strategy":"server-limit","op":"db","ctx":"deaf","timeout_ms":250,"delays_ms":[10,10,10,1000]}`,
		"const rate = 50;",
		`"failed{strategy:io-timeout,op:db,ctx:deaf}": ["count<=0"],`,
	} {
		if !strings.Contains(script, want) {
			t.Errorf("no %s in\n%s", want, script)
		}
	}
	if strings.Contains(script, `{"strategy":"server-limit","op":"http"`) {
		t.Errorf("a strategy has a cell of an op that it doesn't suit:\n%s", script)
	}
}

// summary is the export of k6: the figures of each metric, also of a metric with tags.
type summary struct {
	Metrics map[string]struct{ Count int }
}

func (s summary) count(metric, strategy string) int {
	return s.Metrics[metric+"{strategy:"+strategy+",op:http,ctx:aware}"].Count
}

// The real k6 makes the load of the plan, and its exit code follows the conditions.
func TestK6(t *testing.T) {
	t.Parallel()
	needK6(t)
	const warmUp, requests = 20, 20
	for name, test := range map[string]struct {
		failIf string
		code   int
	}{
		"no condition is true": {"context-cancel.answered_max_ms > 1200", 0},
		"a condition is true":  {"context-cancel.timed_out > 0", 99},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lab := start(t)
			code, got := runK6(t, "--url="+lab.url, "--strategies=context-cancel", "--ops=http",
				"--timeout=150ms", "--delay=0,0,0,300ms", "--rate=40", "--duration=500ms", "--fail-if="+test.failIf)
			if code != test.code {
				t.Errorf("k6 exits with %d, want %d", code, test.code)
			}
			seen := map[string]int{}
			for _, outcome := range []string{"completed", "timed_out", "failed", "refused"} {
				seen[outcome] = got.count(outcome, "context-cancel")
			}
			if n := seen["completed"] + seen["timed_out"] + seen["failed"] + seen["refused"]; !nearly(n, requests) || seen["timed_out"] < requests/5 {
				t.Errorf("%v, want %d requests, a quarter of them slow", seen, requests)
			}
			if n := got.count("completed", "floor"); !nearly(n, requests) {
				t.Errorf("%d requests of the floor completed, want %d", n, requests)
			}
			var last struct{ Receipts []receipt.View }
			lab.get(t, "/receipts?limit=1000", &last)
			kept := map[string]int{}
			for _, r := range last.Receipts {
				kept[r.Name]++
				kept[r.Name+" "+string(*r.Status)]++
			}
			if !nearly(kept["baseline"], warmUp+requests) || !nearly(kept["context-cancel"], warmUp+requests) {
				t.Errorf("receipts: %v, want %d of each", kept, warmUp+requests)
			}
			for outcome, n := range seen { // the lab counts the warm-up too, and k6 doesn't
				if of := kept["context-cancel "+outcome]; n > of || of > n+warmUp {
					t.Errorf("%d %s for k6, %d for the lab", n, outcome, of)
				}
			}
		})
	}
}

// nearly reports whether k6 sent about all requests that were due: on a busy machine k6 may
// end before it has sent the last ones.
func nearly(sent, due int) bool { return sent <= due && sent >= due*7/10 }

// The script sets the network before the load, and sends no load where it can't.
func TestK6Network(t *testing.T) {
	t.Parallel()
	needK6(t)
	flags := []string{"--network=delay=30ms", "--strategies=context-cancel", "--ops=http", "--delay=0", "--timeout=50ms", "--rate=20", "--duration=500ms"}

	lab := start(t, "--network=none", "--network-driver=proxy")
	code, got := runK6(t, append(flags, "--url="+lab.url, "--fail-if=timed_out < 7")...)
	if n := got.count("timed_out", "context-cancel"); code != 0 || !nearly(n, 10) {
		t.Errorf("k6 exits with %d, and %d of 10 requests timed out on a round trip over the timeout", code, n)
	}
	const aborted = 108
	if code, got := runK6(t, append(flags, "--url="+start(t).url)...); code != aborted || got.count("completed", "context-cancel") > 0 {
		t.Errorf("a lab without a network: k6 exits with %d, want %d; %+v", code, aborted, got)
	}
}

func needK6(t *testing.T) {
	t.Helper()
	if os.Getenv("K6") == "" {
		t.Skip("K6 names no k6: go install go.k6.io/k6@v1.4.0, and set K6 to its path")
	}
}

// runK6 runs the emitted script.
func runK6(t *testing.T, args ...string) (code int, s summary) {
	t.Helper()
	script, stderr, code := emitted(t, args...)
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	dir := t.TempDir()
	file, export := filepath.Join(dir, "compare.js"), filepath.Join(dir, "summary.json")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	process := exec.CommandContext(t.Context(), os.Getenv("K6"), "run", "--quiet", "--no-usage-report", "--address=", "--summary-export", export, file)
	out, err := process.CombinedOutput()
	t.Logf("%s", out)
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	text, err := os.ReadFile(export)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return process.ProcessState.ExitCode(), s
}
