package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gotimeout/internal/results"
)

// recorded returns the path of the records of a comparison with one cell.
func recorded(t *testing.T, strategy string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), strategy+".jsonl")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := results.NewWriter(f)
	for _, record := range []any{
		&results.Run{Type: results.TypeRun, Format: results.Format, Rate: 200},
		&results.Cell{Type: results.TypeCell, Cell: 1, Strategy: strategy, Op: "db", Ctx: "aware", Network: "none", Timeout: 250, Delays: []float64{1000}},
		&results.Request{Type: results.TypeRequest, Cell: 1, Phase: results.Load, Status: "timed_out", Answered: 251.5, Delay: 1000},
		&results.End{Type: results.TypeEnd, Cell: 1},
		&results.Done{Type: results.TypeDone},
	} {
		if err := w.Add(record); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// Each format has its own first line.
func TestReport(t *testing.T) {
	one, two := recorded(t, "errgroup"), recorded(t, "context-cancel")
	for _, test := range []struct {
		args  []string
		begin string
		has   string
	}{
		{[]string{one}, "On db, the run is too short to choose", "\n0001-01-01 00:00 UTC, gotimeout"},
		{[]string{one, "--format=markdown"}, "**On db, the run is too short to choose", "| errgroup | 252 |"},
		{[]string{one, "--format=json"}, "{\n", `"overshoot_p99_ms": 1.5,`},
		{[]string{one, "--format=csv"}, "strategy,op,", "\nerrgroup,db,aware,none,250,"},
		{[]string{one, "--format=html"}, "<!DOCTYPE html>", ""},
		{[]string{one, one}, "old: 0001-01-01", "Rows in both: 1."},
		{[]string{one, two, "--format=json"}, "{\n", `"old_only": [`},
		{[]string{one, two}, "old: 0001-01-01", "The two comparisons have no row in common."},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"report"}, test.args...), os.Getenv, &stdout, &stderr)
		if got := stdout.String(); code != 0 || stderr.Len() > 0 || !strings.HasPrefix(got, test.begin) || !strings.Contains(got, test.has) {
			t.Errorf("%q: exit code %d, stderr %q\n%s", test.args, code, &stderr, got)
		}
	}
}

func TestReportOfStandardInput(t *testing.T) {
	file, err := os.Open(recorded(t, "errgroup"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	stdin := os.Stdin
	os.Stdin = file
	defer func() { os.Stdin = stdin }()
	var stdout bytes.Buffer
	if code := run(t.Context(), []string{"report", "-"}, os.Getenv, &stdout, io.Discard); code != 0 || !strings.Contains(stdout.String(), "errgroup") {
		t.Errorf("exit code %d\n%s", code, &stdout)
	}
}

// The progress of a running comparison fits a narrow terminal too.
func TestProgressNarrow(t *testing.T) {
	for _, narrow := range []bool{true, false} {
		var b strings.Builder
		p := &progress{to: &b, narrow: narrow}
		collector := results.NewCollector()
		cell := &results.Cell{Cell: 1, Strategy: "goroutine-abandon", Op: "cache", Ctx: "aware", Network: "cross-region", Timeout: 250, Delays: []float64{10}}
		for _, record := range []any{&results.Run{Format: results.Format}, cell, &results.Request{Cell: 1, Phase: results.Load, Status: "timed_out", Answered: 25123.45}, &results.End{Cell: 1}} {
			if err := collector.Add(record); err != nil {
				t.Fatal(err)
			}
			p.record(record, collector.Results())
		}
		most := map[bool]int{true: 40, false: 80}[narrow]
		for line := range strings.Lines(b.String()) {
			if len(line)-1 > most {
				t.Errorf("%d columns: %s", len(line)-1, line)
			}
		}
		if !strings.Contains(b.String(), "goroutine-aband") || !strings.Contains(b.String(), "25123.5") {
			t.Errorf("the row lacks its figures: %s", b.String())
		}
	}
}

// An interrupt ends a report whose input has no end, as a terminal.
func TestReportInterrupted(t *testing.T) {
	pipe, never, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin := os.Stdin
	os.Stdin = pipe
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"report", "-"}, environmentOf(nil), &stdout, &stderr)
	never.Close() // ends the goroutine that reads
	os.Stdin = stdin
	if want := "gotimeout: interrupted: the end of - was not reached\n"; code != exitInterrupted || stdout.Len() > 0 || stderr.String() != want {
		t.Errorf("exit code %d, %q, %q", code, &stdout, &stderr)
	}
}
