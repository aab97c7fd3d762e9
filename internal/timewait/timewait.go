// Package timewait shows by experiment what TIME-WAIT is: which end of a connection keeps it and for how long, what fills a machine
// with it, what happens when the ports run out, and which remedies help.
//
// Each experiment uses real sockets, reads from the kernel what became of them, and compares that with what TCP promises: a step
// says what was expected beside what was seen, and nothing that was seen is written down beforehand. An experiment waits for a
// state, with a bound, and never for a time.
//
// The experiments change settings of the network that they run in, and take its loopback down for a moment. So they need a private
// network (package private) and must be its only user. They need Linux.
package timewait

import (
	"context"
	"fmt"
)

// Experiment is a question, and how to answer it.
type Experiment struct {
	Name  string
	Title string // the question in one line
	run   func(ctx context.Context, l *lab) error
}

// All returns every experiment, in the order in which they explain each other.
func All() []Experiment {
	return []Experiment{
		{"who", "which end keeps the TIME-WAIT", whichEnd},
		{"how-long", "how long a TIME-WAIT stays", duration},
		{"churn", "what fills a machine with TIME-WAITs", churn},
		{"ports", "what happens when TIME-WAITs have taken all ports, and what helps", ports},
		{"restart", "whether a server can be started again on its port", restart},
		{"linger", "whether SO_LINGER 0 is a way around TIME-WAIT", linger},
		{"myth", "whether a cancelled request leaves a TIME-WAIT", cancelled},
	}
}

// Step is one action of an experiment, and its outcome in the kernel.
type Step struct {
	Experiment string `json:"experiment"`
	Did        string `json:"did"`
	Expected   string `json:"expected"`
	Saw        string `json:"saw"`
	OK         bool   `json:"ok"`      // what was seen is what was expected
	Why        string `json:"why"`     // a sentence
	Command    string `json:"command"` // shows the same on any machine, or ""
	Figures
}

// Figures are the counts of a step. A count that the step did not make is nil.
type Figures struct {
	Requests       *int     `json:"requests"`
	Opened         *int     `json:"opened"`           // connections
	Ideal          *int     `json:"ideal"`            // connections, if each were used again
	ClientTimeWait *int     `json:"client_time_wait"` // the client's ends in TIME-WAIT
	ServerTimeWait *int     `json:"server_time_wait"`
	Resets         *int     `json:"resets"`       // RSTs sent
	Reused         *int     `json:"reused"`       // TIME-WAITs that a new connection took over
	Ports          *int     `json:"ports"`        // in the range for clients
	TWReuse        *int     `json:"tcp_tw_reuse"` // the setting
	Seconds        *float64 `json:"seconds"`
}

// lab is what an experiment works with.
type lab struct {
	fast   bool
	name   string
	report func(Step)
}

// step reports a step.
func (l *lab) step(s Step) {
	s.Experiment = l.name
	l.report(s)
}

// Run runs the experiment and calls report with each step as soon as the step is done. Fast shortens the minute of a TIME-WAIT to a
// few seconds, and a load to a few hundred requests. An error means that the experiment could not be made, and not that its
// outcome was unexpected; when ctx is done the error is ctx's cause.
func (e Experiment) Run(ctx context.Context, fast bool, report func(Step)) error {
	// By default an RST ends a TIME-WAIT at once (RFC 1337), and on two processors about one close in ten thousand sends one: the
	// acknowledgement of the first FIN is sent after the second FIN, by another processor. The TIME-WAIT answers it, the end that
	// is gone answers that with an RST, and the port is free. With this setting the TIME-WAIT stays.
	undo, err := set("tcp_rfc1337", "1")
	if err != nil {
		return fmt.Errorf("%s: %w", e.Name, err)
	}
	defer undo()
	switch err := e.run(ctx, &lab{fast, e.Name, report}); {
	case err != nil && ctx.Err() != nil: // whatever error it caused in the step
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("%s: %w", e.Name, err)
	}
	return nil
}
