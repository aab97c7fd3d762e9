package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/timewait"
)

// madeUpSteps has a step of each kind.
func madeUpSteps() map[string][]timewait.Step {
	n := func(n int) *int { return &n }
	return map[string][]timewait.Step{
		"who": {{
			Experiment: "who", Did: "a server says hello; the client closes first", OK: true,
			Saw:     "client 127.0.0.1:40000 TIME-WAIT, server 127.0.0.1:8000 gone",
			Why:     "The end that closes first keeps the TIME-WAIT: its last ACK may be lost, and then it must be there to send it again.",
			Command: "ss -tan '( sport = :8000 or dport = :8000 )'",
		}, {
			Experiment: "who", Did: "both close at once", Expected: "both ends in TIME-WAIT",
			Saw: "client 127.0.0.1:40001 CLOSING, server 127.0.0.1:8000 gone", Why: "The FINs cross.",
		}},
		"churn": {{
			Experiment: "churn", Did: "2 idle connections, the default", OK: true, Saw: "160 opened", Why: "The client closes all connections but two.",
			Figures: timewait.Figures{Requests: n(200), Opened: n(160), Ideal: n(10), ClientTimeWait: n(158), ServerTimeWait: n(0), Resets: n(0), TWReuse: n(0)},
		}, {
			Experiment: "churn", Did: "enough idle connections", Expected: "no TIME-WAIT, no RST", Saw: "11 opened", Why: "Each worker finds its connection again.",
			Figures: timewait.Figures{Requests: n(200), Opened: n(11), Ideal: n(10), ClientTimeWait: n(0), ServerTimeWait: n(0), Resets: n(1), TWReuse: n(0)},
		}},
	}
}

func printMadeUp(to io.Writer, asJSON bool, width int) error {
	p := stepPrinter{to: to, json: asJSON, width: width}
	for _, e := range timewait.All() {
		steps := madeUpSteps()[e.Name]
		if len(steps) == 0 {
			continue
		}
		p.begin(e)
		for _, s := range steps {
			p.step(s)
		}
	}
	return p.verdict()
}

const unexpected = "the kernel did otherwise than expected in 2 of 4 steps: who: both close at once; churn: enough idle connections"

func TestTimewaitLayout(t *testing.T) {
	var out bytes.Buffer
	if err := printMadeUp(&out, false, 80); err == nil || err.Error() != unexpected {
		t.Errorf("%v", err)
	}
	fitsGolden(t, "timewait.txt", out.String())
}

// No line is wider than the terminal, in the table and in the list on a narrow terminal.
func TestTimewaitWidths(t *testing.T) {
	for width := 40; width <= 100; width++ {
		var out bytes.Buffer
		_ = printMadeUp(&out, false, width)
		for line := range strings.Lines(out.String()) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > width {
				t.Errorf("%d columns in a terminal of %d: %s", n, width, line)
			}
		}
	}
}

func TestTimewaitJSON(t *testing.T) {
	var out bytes.Buffer
	if err := printMadeUp(&out, true, 80); err == nil || err.Error() != unexpected {
		t.Errorf("%v", err)
	}
	help := timewaitCmd{}.Help()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines, want 4: %s", len(lines), &out)
	}
	for _, line := range lines {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for name, v := range record {
			switch v.(type) {
			case nil, bool, float64, string:
			default:
				t.Errorf("%s is not flat: %v", name, v)
			}
			if !strings.Contains(help, name) {
				t.Errorf("the help doesn't name %s", name)
			}
		}
	}
}

// --only accepts every experiment.
func TestTimewaitOnly(t *testing.T) {
	for _, e := range timewait.All() {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), []string{"timewait", "--only", e.Name, "--help"}, os.Getenv, &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), e.Name) {
			t.Errorf("%s: exit code %d: %s", e.Name, code, &stderr)
		}
	}
}

func TestTimewait(t *testing.T) {
	out, code := programOutput(t, "timewait", "--fast", "--only", "restart,who", "--only=linger")
	if code == exitNoNetwork {
		t.Skip("no private network here")
	}
	at := -1
	for _, want := range []string{"WHO: ", "RESTART: ", "LINGER: ", "Steps that came out as expected: 8 of 8."} {
		i := strings.Index(out, want)
		if i <= at {
			t.Errorf("%q is in the wrong place: %d after %d", want, i, at)
		}
		at = i
	}
	if code != 0 || strings.Contains(out, "CHURN") {
		t.Errorf("exit code %d: %s", code, out)
	}
	for _, line := range strings.Split(out, "\n") {
		if len([]rune(line)) > 80 {
			t.Errorf("wider than 80 columns: %s", line)
		}
	}
}

// A signal ends the program at once, in the middle of the minute of a TIME-WAIT.
func TestTimewaitInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("this system has no such signals")
	}
	for name, sig := range map[string]syscall.Signal{"SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			cmd := asTimewait(t)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_, noLine := bufio.NewReader(stdout).ReadString('\n')
			began := time.Now()
			if noLine == nil {
				err = cmd.Process.Signal(sig)
			}
			_ = cmd.Wait()
			switch code := cmd.ProcessState.ExitCode(); {
			case code == exitNoNetwork:
				t.Skip("no private network here")
			case code != exitInterrupted || err != nil || time.Since(began) > 30*time.Second || stderr.String() != "gotimeout: interrupted: the experiments that are missing were not run\n":
				t.Errorf("exit code %d after %s, %q: %v", code, time.Since(began), &stderr, err)
			}
		})
	}
}

// asTimewait returns a command that runs the longest experiment.
func asTimewait(t *testing.T) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "timewait", "--only", "how-long")
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}
