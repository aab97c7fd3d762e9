package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/perf/benchmath"
)

// header begins a table, whose first column is aligned on the left.
func header(columns ...string) {
	fmt.Printf("| %s |\n|---|%s\n", strings.Join(columns, " | "), strings.Repeat("--:|", len(columns)-1))
}

func row(cells ...string) { fmt.Printf("| %s |\n", strings.Join(cells, " | ")) }

func number(v float64) string { return fmt.Sprintf("%.0f", v) }

// millis writes milliseconds.
func millis(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// pairwise applies of round by round, so that a drift of the machine cancels out.
func pairwise(a, b []float64, of func(a, b float64) float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = of(a[i], b[i])
	}
	return out
}

func ratio(a, b float64) float64 { return a / b }

// intervalRounds is the least number of values for a 95% interval of their median.
const intervalRounds = 6

// estimate is the median of values and its 95% interval, as benchstat has them.
type estimate struct{ mid, lo, hi float64 }

func estimateOf(values []float64) estimate {
	sample := benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
	s := benchmath.AssumeNothing.Summary(sample, 0.95)
	return estimate{s.Center, s.Lo, s.Hi}
}

// text writes the estimate, each number in format. The interval of too few values is
// "?".
func (e estimate) text(format string) string {
	if math.IsInf(e.lo, 0) || math.IsInf(e.hi, 0) {
		return fmt.Sprintf(format, e.mid) + " (?)"
	}
	return fmt.Sprintf(format+" ("+format+" to "+format+")", e.mid, e.lo, e.hi)
}

// judgement is the result of comparing a figure with its bar. A worse one is greater.
type judgement int

const (
	met       judgement = iota // the median is on the right side
	undecided                  // the median is on the wrong side, the interval is on both
	missed                     // the whole interval is on the wrong side
)

func (j judgement) String() string { return [...]string{"met", "undecided", "MISSED"}[j] }

func (e estimate) atMost(bar float64) judgement {
	switch {
	case e.mid <= bar:
		return met
	case e.lo <= bar:
		return undecided
	}
	return missed
}

func (e estimate) atLeast(bar float64) judgement {
	return estimate{-e.mid, -e.hi, -e.lo}.atMost(-bar)
}

// verdict compares a figure without an interval with its bar.
func verdict(ok bool) string {
	if ok {
		return met.String()
	}
	return missed.String()
}
