// Package timewait shows by experiment what TIME-WAIT is: which end of a
// connection keeps it and for how long, what fills a machine with it, what
// happens when the ports run out, and which remedies help.
//
// Each experiment does what it says with real sockets, asks the kernel what
// became of them, and compares that with what TCP promises: a step says what
// was expected beside what was seen, and nothing of what it saw is written
// down beforehand. Waiting is for a state, with a bound, and never for a time.
//
// The experiments change settings of the network that they run in and take its
// loopback down for a moment, so they belong into a private one (package
// private), of which they must be the only user. They take Linux.
package timewait

import (
	"context"
	"fmt"
)

// Experiment is a question and how it is asked.
type Experiment struct {
	Name  string
	Title string // what it asks, in a line
	run   func(ctx context.Context, l *lab) error
}

// All returns every experiment, in the order in which they explain each other.
func All() []Experiment {
	return []Experiment{
		{"who", "which end keeps the TIME-WAIT", who},
		{"how-long", "how long it stays", howLong},
		{"churn", "what fills a machine with it", churn},
		{"ports", "what happens when it has taken all ports, and what helps", ports},
		{"restart", "whether a server can be started again on its port", restart},
		{"linger", "whether SO_LINGER 0 is a way around it", linger},
		{"myth", "whether a cancelled request leaves one", myth},
	}
}

// Step is one thing that an experiment did, and what the kernel made of it.
type Step struct {
	Experiment string `json:"experiment"`
	Did        string `json:"did"`
	Expected   string `json:"expected"`
	Saw        string `json:"saw"`
	OK         bool   `json:"ok"`      // what was seen is as expected
	Why        string `json:"why"`     // a sentence
	Command    string `json:"command"` // that shows the same on any machine, or ""
	Figures
}

// Figures are what a step counted, nil what it didn't.
type Figures struct {
	Requests       *int     `json:"requests"`
	Opened         *int     `json:"opened"`           // connections
	Ideal          *int     `json:"ideal"`            // connections, if each were used again
	ClientTimeWait *int     `json:"client_time_wait"` // ends of the client in TIME-WAIT
	ServerTimeWait *int     `json:"server_time_wait"`
	Resets         *int     `json:"resets"`       // RSTs sent
	Reused         *int     `json:"reused"`       // TIME-WAITs taken for a new connection
	Ports          *int     `json:"ports"`        // in the range for clients
	TWReuse        *int     `json:"tcp_tw_reuse"` // the setting
	Seconds        *float64 `json:"seconds"`
}

// lab is what an experiment works with.
type lab struct {
	fast bool
	name string
	did  func(Step)
}

// step hands a step on.
func (l *lab) step(s Step) {
	s.Experiment = l.name
	l.did(s)
}

// Run runs the experiment, which calls did with each of its steps as soon as it
// is done. Fast bounds what takes a minute to a few seconds, and loads to a few
// hundred requests. An error is that the experiment could not be made, and not
// that it came out other than expected; with ctx done it is ctx's.
func (e Experiment) Run(ctx context.Context, fast bool, did func(Step)) error {
	switch err := e.run(ctx, &lab{fast, e.Name, did}); {
	case err != nil && ctx.Err() != nil: // whatever it has made of the step at hand
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("%s: %w", e.Name, err)
	}
	return nil
}
