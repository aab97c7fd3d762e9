package replay

import (
	"context"
	"errors"
)

// Judge is judge for reports with outcomes, or "cannot".
func Judge(trial, control bool, cannot string) (Result, error) {
	return Experiment{ID: "made-up"}.judge(
		report{Outcome: &Outcome{"as reported", trial}},
		report{Outcome: &Outcome{"with the remedy", control}, Cannot: cannot})
}

// ReplayWithoutRemedy replays an experiment whose code has no remedy.
func (e Experiment) ReplayWithoutRemedy(ctx context.Context) (Result, error) {
	run := e.inProcess(ctx, false)
	return e.judge(run, run)
}

// ReplayBroken replays an experiment whose process can't make it.
func ReplayBroken(ctx context.Context) error {
	_, err := Experiment{ID: "no-such"}.Replay(ctx)
	if err == nil {
		return errors.New("no error")
	}
	return nil
}
