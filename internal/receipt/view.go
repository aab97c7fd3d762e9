package receipt

import (
	"math"
	"time"
)

// View is the JSON of a receipt at one moment. Times are in milliseconds from the
// start of the run; nil is unknown, or not known yet.
type View struct {
	ID string `json:"id"`
	// Job is the job that a worker made this run for, which has the ID of the receipt of the
	// request that was accepted.
	Job      string `json:"job,omitempty"`
	Complete bool   `json:"complete"` // no op and no backend works on the run any more
	Name     string `json:"name"`
	Family   string `json:"family"`
	// Unbounded says that the strategy ignores Timeout.
	Unbounded bool   `json:"-"`
	Slow      string `json:"slow"`
	Ctx       string `json:"ctx"`
	Work      string `json:"work,omitempty"`
	Backend   string `json:"backend,omitempty"`
	Target    string `json:"target,omitempty"`
	// Params are the values of the parameters that other ops don't have.
	Params  map[string]string `json:"params,omitempty"`
	Network any               `json:"network"` // the network to the backend
	Delay   string            `json:"delay"`
	Timeout string            `json:"timeout"`
	// Prepared is the time from the request until the clock started, nil where
	// nothing had to be prepared.
	Prepared *float64 `json:"prepared_ms,omitempty"`
	Started  string   `json:"started"`
	// Timeouts are the timeouts of phases, by their parameters.
	Timeouts map[string]string `json:"timeouts,omitempty"`
	Status   *Status           `json:"status"` // nil until the answer
	Error    *Error            `json:"error,omitempty"`
	Answered *float64          `json:"answered_ms"`
	// Overshoot is answered less timeout, of every bounded run that was answered
	// at its timeout or later, whatever the answer was.
	Overshoot    *float64    `json:"overshoot_ms"`
	Ended        *float64    `json:"ended_ms"`
	Straggle     *float64    `json:"straggle_ms"`
	BackendEnded *float64    `json:"backend_ended_ms"`
	Waste        *float64    `json:"waste_ms"`
	BackendSeen  bool        `json:"-"`               // no backend worked on unseen
	Goroutines   int         `json:"goroutines_left"` // ops that had not returned at the answer
	Connections  Connections `json:"connections"`
	Phases       []Phase     `json:"phases,omitempty"`
	// OutlivedDials is how many dials went on after their call had returned; Remedy tells
	// how to end such dials.
	OutlivedDials int    `json:"outlived_dials,omitempty"`
	Remedy        string `json:"remedy,omitempty"`
	// Orphans: programs that a command had started ran on when it had ended, and were killed.
	Orphans bool `json:"orphans,omitempty"`
}

// View returns the receipt as it is now.
func (r *Receipt) View() View {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := View{
		ID: r.id, Job: r.run.Job, Complete: r.complete,
		Name: r.run.Name, Family: r.run.Family, Unbounded: r.run.Unbounded, Slow: r.run.Slow,
		Ctx: r.run.Ctx, Work: r.run.Work, Backend: r.run.Backend, Target: r.run.Target, Params: r.run.Params,
		Network: r.run.Network, Timeouts: r.run.Timeouts,
		Delay: r.run.Delay.String(), Timeout: r.run.Timeout.String(),
		Started: r.start.UTC().Format(time.RFC3339Nano), Prepared: Figure{r.prepared > 0, r.prepared}.ms(),
		Error: r.err, Goroutines: int(r.left),
		Connections: r.connections(), Phases: r.viewPhases(),
		Orphans:     r.orphaned,
		BackendSeen: r.run.Seen && !r.unseen,
	}
	if r.dials != nil {
		v.OutlivedDials, v.Remedy = r.dials.count, r.dials.remedy
	}
	if r.status != "" {
		status := r.status // a copy: the receipt goes on without the lock
		v.Status = &status
		if r.hasAnswer() {
			v.Answered = ms(r.answered)
		}
	}
	v.Overshoot, v.Straggle, v.Waste = r.overshoot().ms(), r.straggle().ms(), r.waste().ms()
	if r.pending == 0 {
		v.Ended = ms(r.ended)
	}
	if r.backendKnown() {
		v.BackendEnded = ms(r.backend)
	}
	return v
}

// Answer is the part of a receipt that the answer to the run needs. Every request needs an
// Answer, and only few need a View.
type Answer struct {
	*Run
	ID        string
	Status    Status
	Error     *Error
	Answered  time.Duration
	Overshoot Figure
}

// Answer returns the answer to an answered run.
func (r *Receipt) Answer() Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Answer{&r.run, r.id, r.status, r.err, r.answered, r.overshoot()}
}

// ms returns the figure for the JSON, nil if it is unknown.
func (f Figure) ms() *float64 {
	if !f.Known {
		return nil
	}
	return ms(f.Time)
}

func ms(d time.Duration) *float64 {
	f := Milliseconds(d)
	return &f
}

// Milliseconds returns d in milliseconds, exact to the microsecond, as the JSON has it.
func Milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}
