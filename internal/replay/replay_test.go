package replay_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"gotimeout/internal/replay"
)

// TestMain makes the test binary the program of a trial, which an experiment starts.
func TestMain(m *testing.M) {
	if replay.IsTrial(os.Args) {
		os.Exit(replay.Trial(context.Background(), os.Args, os.Stdout))
	}
	goleak.VerifyTestMain(m)
}

func find(t *testing.T, id string) replay.Experiment {
	t.Helper()
	i := slices.IndexFunc(replay.All(), func(e replay.Experiment) bool { return e.ID == id })
	if i < 0 {
		t.Fatalf("no experiment %s", id)
	}
	return replay.All()[i]
}

func TestAll(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range replay.All() {
		if !regexp.MustCompile(`^[a-z0-9]+-[a-z0-9]+$`).MatchString(e.ID) || seen[e.ID] {
			t.Errorf("the ID %q is not a name-number, or not the only one", e.ID)
		}
		seen[e.ID] = true
		if len(e.Issues) == 0 || e.Title == "" || e.Reported == "" || e.Does == "" || e.Remedy == "" {
			t.Errorf("%s lacks a text or an address: %+v", e.ID, e.Unreplayed())
		}
		for _, address := range e.Issues {
			if !regexp.MustCompile(`^https://[^ ]+$`).MatchString(address) {
				t.Errorf("%s: the address %q", e.ID, address)
			}
		}
	}
}

func TestVerdicts(t *testing.T) {
	for _, test := range []struct {
		trial, control bool
		cannot         string
		want           replay.Verdict
		failed         bool
	}{
		{trial: true, want: replay.Reproduced},
		{want: replay.Changed},
		{trial: true, control: true, want: replay.Changed, failed: true},
		{control: true, want: replay.Changed, failed: true},
		{trial: true, cannot: "no private network", want: replay.CannotRun},
	} {
		r, err := replay.Judge(test.trial, test.control, test.cannot)
		if err != nil || r.Verdict != test.want || r.Failed() != test.failed || (r.Reason == "") != (test.want == replay.Reproduced) || (r.Trial == nil) != (test.cannot != "") {
			t.Errorf("%+v: %+v, %v", test, r, err)
		}
	}
}

// Experiments of each kind: one crashes its process, one counts the goroutines of its process, and
// one calls a stand-in.
func TestReplay(t *testing.T) {
	t.Parallel()
	var chosen []replay.Experiment
	for _, id := range []string{"golang-74275", "resiliency-24", "gomemcache-panic"} {
		chosen = append(chosen, find(t, id))
	}
	var got []string
	err := replay.Each(t.Context(), chosen, 2, func(r replay.Result) error {
		if got = append(got, r.ID); r.Verdict != replay.Reproduced || r.Failed() {
			t.Errorf("%s: %s %s; saw %v, control %v", r.ID, r.Verdict, r.Reason, r.Trial, r.Control)
		}
		return nil
	})
	if err != nil || !slices.Equal(got, []string{chosen[0].ID, chosen[1].ID, chosen[2].ID}) {
		t.Errorf("%v, %v", got, err)
	}
}

// An experiment that can't be made is an error, and so are an error of the caller and a context
// that is done: each ends the replays.
func TestReplayFails(t *testing.T) {
	t.Parallel()
	if err := replay.ReplayBroken(t.Context()); err != nil {
		t.Error(err)
	}
	stop := errors.New("stop")
	if err := replay.Each(t.Context(), replay.All()[:3], 1, func(replay.Result) error { return stop }); err != stop {
		t.Errorf("after an error of report: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if err := replay.Each(ctx, replay.All(), 4, func(replay.Result) error { return nil }); err != stop {
		t.Errorf("with a context that is done: %v", err)
	}
}

// solved are the issues that today's Go and today's driver have no more.
var solved = []string{"mysql-836", "golang-15781"}

// Without its remedy, the control of each experiment fails.
func TestWithoutRemedy(t *testing.T) {
	if os.Getenv("GOTIMEOUT_SLOW") == "" {
		t.Skip("GOTIMEOUT_SLOW=1 runs each experiment, which takes half a minute")
	}
	for _, e := range replay.All() {
		t.Run(e.ID, func(t *testing.T) {
			t.Parallel()
			r, err := e.ReplayWithoutRemedy(t.Context())
			switch {
			case err != nil:
				t.Error(err)
			case r.Verdict == replay.CannotRun:
				t.Skip(r.Reason)
			case r.Failed() == slices.Contains(solved, e.ID):
				t.Errorf("%s: %s; saw %v", r.Verdict, r.Reason, r.Trial)
			}
		})
	}
}
