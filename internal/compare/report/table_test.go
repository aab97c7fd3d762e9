package report_test

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"gotimeout/internal/compare/report"
	"gotimeout/internal/compare/results"
)

func table(w io.Writer, r *results.Results) error { return report.Table(w, r, 80) }

func TestTable(t *testing.T) {
	got := text(t, small(t), table)
	narrow(t, got)
	golden(t, "table.txt", got)
}

// A block whose figures are too wide goes on below.
func TestTableOfWideFigures(t *testing.T) {
	f := newFixture(t, aRun())
	f.cell(cellPlan{strategy: "goroutine-abandon", op: "db", network: "none", overshoot: 123456789})
	got := text(t, f.collector.Results(), table)
	narrow(t, got)
	if n := strings.Count(got, "answers  "); n != 2 || strings.Count(got, "123457039") != 2 {
		t.Errorf("the answers are in %d parts, want 2:\n%s", n, got)
	}
}

// Of repeats, how many there were stands in the heading; all else as of one.
func TestTableOfRepeats(t *testing.T) {
	f := newFixture(t, aRun())
	for repeat := range 3 {
		f.cell(cellPlan{strategy: "errgroup", op: "db", network: "none", repeat: repeat + 1, overshoot: float64(repeat)})
	}
	f.add(&results.Done{})
	got := text(t, f.collector.Results(), table)
	for _, want := range []string{"40 requests a row, medians of 3 repeats, sent within 0.0 ms (p99)\n", "   1.0 1.0 1.0 "} {
		if !strings.Contains(got, want) {
			t.Errorf("it lacks %q:\n%s", want, got)
		}
	}
	for _, not := range []string{"interrupted", "incomplete", "bottleneck"} {
		if strings.Contains(got, not) {
			t.Errorf("it has %q:\n%s", not, got)
		}
	}
}

func TestTableOfCutFile(t *testing.T) {
	got := text(t, newFixture(t, aRun()).collector.Results(), table)
	if want := "\nThe comparison is incomplete: its records end before it did.\n"; !strings.Contains(got, want) {
		t.Errorf("it lacks %q:\n%s", want, got)
	}
}

// A file can't take over the terminal.
func TestTableIsPlain(t *testing.T) {
	f := newFixture(t, aRun())
	f.cell(cellPlan{strategy: "\x1b[31mred", op: "db\x07", network: "none"})
	for name, write := range formats() {
		if name != report.FormatCSV && strings.ContainsAny(text(t, f.collector.Results(), write), "\x1b\x07") {
			t.Errorf("%s has control characters", name)
		}
	}
}

func formats() map[string]func(io.Writer, *results.Results) error {
	return map[string]func(io.Writer, *results.Results) error{
		report.FormatTable: table, report.FormatMarkdown: report.Markdown,
		report.FormatJSON: report.JSON, report.FormatCSV: report.CSV,
	}
}

func TestMarkdown(t *testing.T) {
	golden(t, "report.md", text(t, small(t), report.Markdown))
}

func TestCSV(t *testing.T) {
	got := text(t, small(t), report.CSV)
	golden(t, "report.csv", got)
	lines, err := csv.NewReader(strings.NewReader(got)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 1+6 {
		t.Errorf("%d lines, want the names and 6", len(lines))
	}
	for _, c := range results.Columns() {
		if !slices.Contains(lines[0], c.Name) {
			t.Errorf("there is no %s in %q", c.Name, lines[0])
		}
	}
}

// Each column is a key of each row and of each repeat, and null is not known.
func TestJSON(t *testing.T) {
	r := small(t)
	got := text(t, r, report.JSON)
	var object struct {
		Run         results.Run
		Interrupted bool
		Remarks     []string
		Rows        []map[string]any
	}
	if err := json.Unmarshal([]byte(got), &object); err != nil {
		t.Fatal(err)
	}
	if object.Run.Rate != 200 || !object.Interrupted || len(object.Remarks) != 2 || len(object.Rows) != len(r.Rows) {
		t.Errorf("%+v", object)
	}
	for i, row := range object.Rows {
		of := r.Rows[i]
		if row["strategy"] != of.Strategy || row["floor"] != of.Floor || row["notes"] == nil {
			t.Errorf("row %d is %v", i, row)
		}
		repeats := row["repeats"].([]any)
		if len(repeats) != len(of.Repeats) {
			t.Fatalf("row %d has %d repeats", i, len(repeats))
		}
		for j, c := range results.Columns() {
			objects := []map[string]any{row}
			for _, repeat := range repeats {
				objects = append(objects, repeat.(map[string]any))
			}
			for _, o := range objects {
				v, there := o[c.Name]
				want := of.Figures[j]
				if number, known := v.(float64); !there || known != (want != nil) || known && number != *want {
					t.Errorf("row %d: %s is %v", i, c.Name, v)
				}
			}
		}
	}
	if !strings.Contains(got, "--fail-if 'late > 0'") {
		t.Error("the command is not as it was written")
	}
	if strings.Index(got, `"answered_p50_ms"`) > strings.Index(got, `"overshoot_p50_ms"`) {
		t.Error("the columns are not in their order")
	}
}

var errFull = errors.New("the disk is full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

// What can't be written is said.
func TestFullDisk(t *testing.T) {
	for name, write := range formats() {
		if err := write(full{}, small(t)); !errors.Is(err, errFull) {
			t.Errorf("%s: %v", name, err)
		}
		if err := report.Compare(full{}, small(t), small(t), name); !errors.Is(err, errFull) {
			t.Errorf("%s of two: %v", name, err)
		}
	}
}
