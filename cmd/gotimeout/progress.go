package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"gotimeout/internal/load"
	"gotimeout/internal/results"
)

// progress shows the progress of a comparison: on a terminal a table with a line for each
// ended cell and a bar under it, and in a pipe only the table.
type progress struct {
	to       io.Writer
	quiet    bool
	terminal bool
	narrow   bool // the terminal has fewer than 80 columns

	mu   sync.Mutex   // requests and samples come from two goroutines
	head bool         // whether the heading has been printed
	cell results.Cell // the cell that runs
	of   int          // how many cells there are
}

func newProgress(to streams, quiet bool) *progress {
	return &progress{to: to.err, quiet: quiet, terminal: to.terminal(), narrow: to.columns(to.err) < 80}
}

const progressLine = "%7s  %-17s %-5s %-5s %-14.14s %8s %8s %8s\n"

// line prints a line of the table.
func (p *progress) line(cell, strategy, op, ctx, network, answered, overshoot, waste string) {
	if p.narrow {
		fmt.Fprintf(p.to, "%7.7s  %-16.16s %-5.5s %8s\n", cell, strategy, op, answered)
		return
	}
	fmt.Fprintf(p.to, progressLine, cell, strategy, op, ctx, network, answered, overshoot, waste)
}

// steps names the phases of a cell for a reader who waits for the end.
var steps = map[string]string{
	results.Before: "settle", results.Answered: "drain", results.Drained: "drain", results.After: "settle",
}

// progress moves the bar.
func (p *progress) progress(now load.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cell, p.of = now.Cell, now.Of
	if p.quiet || !p.terminal {
		return
	}
	if p.narrow {
		fmt.Fprintf(p.to, "\r\x1b[K%7s  %-16.16s %s left", fmt.Sprintf("%d/%d", now.Cell.Cell, now.Of), now.Cell.Strategy, now.Left.Round(time.Second))
		return
	}
	const width = 20 // leaves room for hours in 80 columns
	done := width * (now.Cell.Cell - 1) / now.Of
	fmt.Fprintf(p.to, "\r\x1b[K%7s  %-17s %-5s %-8s [%s%s] %s left",
		fmt.Sprintf("%d/%d", now.Cell.Cell, now.Of), now.Cell.Strategy, now.Cell.Op, cmp.Or(steps[now.Phase], now.Phase),
		strings.Repeat("=", done), strings.Repeat(" ", width-done), now.Left.Round(time.Second))
}

// survey moves the bar of an atlas. In a pipe it prints a line for the first call on each
// network.
func (p *progress) survey(now load.Progress) {
	if p.terminal || p.quiet || now.Phase == "network" {
		p.progress(now)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cell.Strategy == "" || p.cell.Network != now.Cell.Network {
		fmt.Fprintf(p.to, "call %d of %d, network %s\n", now.Cell.Cell, now.Of, now.Cell.Network)
	}
	p.cell = now.Cell
}

// record prints a line for a cell that has ended, with its figures from the results.
func (p *progress) record(record any, r *results.Results) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch record := record.(type) {
	case *results.Cell:
		p.cell = *record
	case *results.End:
		if !p.quiet {
			p.ended(*record, r)
		}
	}
}

func (p *progress) ended(end results.End, r *results.Results) {
	p.clear()
	if !p.head {
		p.head = true
		p.line("", "", "", "", "", "answered", "over-", "waste")
		p.line("cell", "strategy", "op", "ctx", "network", "p99 ms", "shoot", "s/1000")
	}
	var f results.Figures
	if row := r.Row(p.cell); row != nil && len(row.Repeats) > 0 {
		f = row.Repeats[len(row.Repeats)-1]
	}
	p.line(fmt.Sprintf("%d/%d", p.cell.Cell, p.of), p.cell.Strategy, p.cell.Op, p.cell.Ctx, p.cell.Network,
		rounded(f[results.AnsweredP99]), rounded(f[results.OvershootP99]), rounded(f[results.WastePer1000]))
	if end.Error != "" {
		fmt.Fprintf(p.to, "%9s%s\n", "", end.Error)
	}
}

// rounded returns a figure with one decimal, or "-".
func rounded(figure *float64) string {
	if figure == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f", *figure)
}

// interrupted prints what happens after a signal.
func (p *progress) interrupted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.quiet {
		p.clear()
		fmt.Fprintln(p.to, "Ending this cell. Ctrl-C again stops at once.")
	}
}

// end removes the bar.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func (p *progress) clear() {
	if !p.quiet && p.terminal {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}
