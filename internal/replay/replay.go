// Package replay repeats known issues about timeouts on this machine: what somebody reported, the
// same again as an experiment, and the same experiment with the remedy, which is its control.
//
// Each experiment runs twice, as reported and with the remedy, each time in a process of its own:
// some crash theirs, others count its goroutines or take all its ports. So an experiment cleans
// nothing up, and none disturbs another. Nothing that is seen is written down beforehand; an
// experiment waits for a state, with a bound, or compares times that lie far apart.
//
// The servers are this program's own stand-ins, which package backends compares with real ones.
// An experiment that needs a setting of the kernel runs in a private network.
package replay

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Experiment repeats one known issue.
type Experiment struct {
	ID       string   // as people name it: project-number, or a name
	Title    string   // the trap in one line
	Issues   []string // addresses; the first one is the report
	Reported string
	Does     string // what the lab does
	Remedy   string // what the control does differently

	// private says that the experiment needs a private network.
	private bool
	// crashes says that the report is of a process that dies.
	crashes bool
	// run makes the experiment, as reported or with the remedy. Where the report is of a crash,
	// run returns if there was none.
	run func(ctx context.Context, remedy bool) (Outcome, error)
}

// Outcome is what an experiment measured.
type Outcome struct {
	Saw        string `json:"saw"`        // a sentence whose text does not depend on the figures in it
	Reproduced bool   `json:"reproduced"` // what was reported happened
}

// All returns every experiment: databases, caches, dials and HTTP's clients, HTTP's servers, and
// then goroutines.
func All() []Experiment {
	return []Experiment{
		mysqlQueryGoesOn(),
		mysqlPoisonedPool(),
		mysqlSessions(),
		mysqlDrain(),
		sqlPool(),
		memcacheContext(),
		memcacheIdle(),
		memcachePanic(),
		redisDeadline(),
		httpPorts(),
		httpDials(),
		httpBody(),
		http2Dead(),
		httpDeadline(),
		writeTimeout(),
		timeoutHandlerFlush(),
		timeoutHandlerPanic(),
		lateWrite(),
		chiTimeout(),
		errgroupDeadline(),
		errgroupPanic(),
		unbufferedResult(),
		failsafeDeaf(),
		afterFuncPanic(),
		timeAfter(),
	}
}

// Verdict says how a replay ended.
type Verdict string

// The verdicts. An experiment whose control fails, since the remedy does not help, has changed.
const (
	Reproduced Verdict = "reproduced"
	Changed    Verdict = "changed"
	CannotRun  Verdict = "cannot run here"
)

// Result is one replay. Its field names in JSON are those of the docs.
type Result struct {
	ID       string   `json:"id"`
	Title    string   `json:"title"`
	Issues   []string `json:"issues"`
	Reported string   `json:"reported"`
	Does     string   `json:"does"`
	Remedy   string   `json:"remedy"`

	Verdict Verdict  `json:"verdict"`
	Reason  string   `json:"reason"`  // of a verdict other than reproduced, else ""
	Trial   *Outcome `json:"trial"`   // as reported; nil where it did not run
	Control *Outcome `json:"control"` // with the remedy; nil where it did not run
	Seconds float64  `json:"seconds"`
}

// Failed reports whether the control did what the remedy should prevent.
func (r Result) Failed() bool { return r.Control != nil && r.Control.Reproduced }

// Each replays experiments, that many at once, and calls report with each result, in the order of
// the experiments. It returns the first error of a replay or of report.
func Each(ctx context.Context, experiments []Experiment, atOnce int, report func(Result) error) error {
	type replayed struct {
		Result
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	free := make(chan struct{}, atOnce)
	results := make([]chan replayed, len(experiments))
	for i := range results {
		results[i] = make(chan replayed, 1)
	}
	var replaying sync.WaitGroup
	defer replaying.Wait()
	defer cancel()
	replaying.Go(func() {
		for i, e := range experiments {
			free <- struct{}{}
			replaying.Go(func() {
				r, err := e.Replay(ctx)
				results[i] <- replayed{r, err}
				<-free
			})
		}
	})
	for i := range results {
		r := <-results[i]
		if r.err == nil {
			r.err = report(r.Result)
		}
		if r.err != nil {
			return r.err
		}
	}
	return nil
}

// Replay runs the experiment twice at the same time, each in a process of its own. When ctx is
// done the error is ctx's cause.
func (e Experiment) Replay(ctx context.Context) (Result, error) {
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	began := time.Now()
	control := make(chan report, 1)
	go func() { control <- e.inProcess(ctx, true) }()
	r, err := e.judge(e.inProcess(ctx, false), <-control)
	if ctx.Err() != nil {
		return r, context.Cause(ctx)
	}
	r.Seconds = time.Since(began).Seconds()
	return r, err
}

// judge returns the result of the reports of a trial and its control.
func (e Experiment) judge(trial, control report) (Result, error) {
	r := e.Unreplayed()
	for _, of := range []report{trial, control} {
		switch {
		case of.Cannot != "":
			r.Verdict, r.Reason = CannotRun, of.Cannot
			return r, nil
		case of.Error != "":
			return r, fmt.Errorf("replay %s: %s", e.ID, of.Error)
		}
	}
	r.Trial, r.Control = trial.Outcome, control.Outcome
	switch {
	case r.Control.Reproduced:
		r.Verdict, r.Reason = Changed, "The remedy does not help: the control saw what was reported."
	case !r.Trial.Reproduced:
		r.Verdict, r.Reason = Changed, "What was reported did not happen."
	default:
		r.Verdict = Reproduced
	}
	return r, nil
}

// Unreplayed returns the result of an experiment that has not been replayed: it has no verdict.
func (e Experiment) Unreplayed() Result {
	return Result{ID: e.ID, Title: e.Title, Issues: e.Issues, Reported: e.Reported, Does: e.Does, Remedy: e.Remedy}
}
