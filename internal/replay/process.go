package replay

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"gotimeout/internal/badnet/private"
	"gotimeout/internal/prose"
)

// bound is the time that one process may take: most take a second, the longest nine.
const bound = time.Minute

// trialCommand is the first argument of a process that makes one trial; the ID of the experiment
// and one of the ways below follow.
const (
	trialCommand = "trial-of-a-replay"
	asReported   = "as-reported"
	withRemedy   = "with-remedy"
)

// report is what such a process writes: one of its fields.
type report struct {
	Outcome *Outcome `json:"outcome,omitempty"`
	Cannot  string   `json:"cannot,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// errCannot is the error of an experiment that this system has no means for.
type errCannot struct{ reason string }

func (e errCannot) Error() string { return e.reason }

// inProcess makes a trial in a new process of this program.
func (e Experiment) inProcess(ctx context.Context, remedy bool) (r report) {
	program, err := os.Executable()
	if err != nil {
		return report{Error: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	way := map[bool]string{false: asReported, true: withRemedy}[remedy]
	cmd := exec.CommandContext(ctx, program, trialCommand, e.ID, way)
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if json.Unmarshal(stdout.Bytes(), &r) == nil && r != (report{}) {
		return r // the exit status may be the race detector's
	}
	crash := firstLine(stderr.String(), "panic: ")
	switch {
	case ctx.Err() != nil:
		r.Error = fmt.Sprintf("not done within %s", bound)
	case e.crashes && crash != "":
		r.Outcome = &Outcome{fmt.Sprintf("The process died: %s.", crash), true}
	case err != nil:
		r.Error = cmp.Or(crash, strings.TrimSpace(stderr.String()), err.Error())
	default:
		r.Error = "the process reported nothing"
	}
	return r
}

// firstLine returns the first line of text with the prefix, or "".
func firstLine(text, prefix string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// IsTrial reports whether a process with these arguments makes a trial: it must call Trial and
// nothing else. A program that calls Replay asks it first.
func IsTrial(args []string) bool { return len(args) == 4 && args[1] == trialCommand }

// Trial makes the trial that the arguments name and writes its report. It returns the exit code.
func Trial(ctx context.Context, args []string, stdout io.Writer) int {
	time.AfterFunc(bound, func() { os.Exit(1) }) // should the parent be gone
	for _, e := range All() {
		if e.ID == args[2] {
			return e.trial(ctx, args[3] == withRemedy, stdout)
		}
	}
	return 2
}

func (e Experiment) trial(ctx context.Context, remedy bool, stdout io.Writer) int {
	trial := func(ctx context.Context, _ *private.Process) (int, error) {
		var r report
		outcome, err := e.run(ctx, remedy)
		switch cannot := (errCannot{}); {
		case errors.As(err, &cannot):
			r.Cannot = cannot.reason
		case err != nil:
			r.Error = prose.OneLine(err)
		default:
			r.Outcome = &outcome
		}
		return 0, json.NewEncoder(stdout).Encode(r)
	}
	if !e.private {
		if _, err := trial(ctx, nil); err != nil {
			return 1
		}
		return 0
	}
	code, err := private.Work{Inside: trial, Refused: func(reason *private.RefusedError) (int, error) {
		return 0, json.NewEncoder(stdout).Encode(report{Cannot: prose.OneLine(reason)})
	}}.Do(ctx)
	if err != nil {
		return 1
	}
	return code
}
