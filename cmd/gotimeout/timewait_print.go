package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"gotimeout/internal/timewait"
)

// stepPrinter prints experiments as they go.
type stepPrinter struct {
	to         io.Writer
	json       bool
	begun, all int
	table      bool     // the step before was a row of one
	otherwise  []string // the steps that came out other than expected
	failed     error    // of a write
}

func (p *stepPrinter) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(p.to, format, args...); err != nil && p.failed == nil {
		p.failed = err
	}
}

// begin prints the heading of an experiment.
func (p *stepPrinter) begin(e timewait.Experiment) {
	if p.json {
		return
	}
	if p.begun++; p.begun > 1 {
		p.printf("\n")
	}
	p.printf("%s: %s\n", strings.ToUpper(e.Name), e.Title)
	p.table = false
}

// step prints a step, as a row of a table where it counted connections against
// an ideal at both ends.
func (p *stepPrinter) step(s timewait.Step) {
	p.all++
	if !s.OK {
		p.otherwise = append(p.otherwise, s.Experiment+": "+s.Did)
	}
	if p.json {
		if err := json.NewEncoder(p.to).Encode(s); err != nil && p.failed == nil {
			p.failed = err
		}
		return
	}
	const indent, width = 9, 80
	if s.Ideal != nil && s.ServerTimeWait != nil {
		p.row(s)
	} else {
		p.printf("\n  %s\n", wrap(s.Did, 2, width))
		p.printf("    saw  %s\n", wrap(s.Saw, indent, width))
	}
	if !s.OK {
		p.printf("    NOT  %s\n", wrap(s.Expected+", which was expected", indent, width))
	}
	p.printf("    why  %s\n", wrap(s.Why, indent, width))
	if s.Command != "" {
		p.printf("    try  %s\n", wrap(s.Command, indent, width))
	}
}

// row prints a step as one of a table.
func (p *stepPrinter) row(s timewait.Step) {
	if !p.table {
		p.table = true
		p.printf("\n  %d requests by %d workers, who think in between; tcp_tw_reuse=%d\n\n", *s.Requests, *s.Ideal, *s.TWReuse)
		p.printf("%50s  %s\n", "", "TIME-WAIT at the")
		p.printf("  %-32s  %6s  %5s  %8s %8s  %4s\n", "", "opened", "ideal", "client", "server", "RST")
	}
	p.printf("\n  %-32s  %6d  %5d  %8d %8d  %4d\n", s.Did, *s.Opened, *s.Ideal, *s.ClientTimeWait, *s.ServerTimeWait, *s.Resets)
}

// verdict says in a line how it came out, which is an error where the kernel did
// otherwise than expected.
func (p *stepPrinter) verdict() error {
	switch {
	case len(p.otherwise) > 0:
		return fmt.Errorf("the kernel did otherwise than expected in %d of %d steps: %s", len(p.otherwise), p.all, strings.Join(p.otherwise, "; "))
	case !p.json:
		p.printf("\nSteps that came out as expected: %d of %[1]d.\n", p.all)
	}
	return p.failed
}
