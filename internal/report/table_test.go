package report_test

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"gotimeout/internal/golden"
	"gotimeout/internal/report"
	"gotimeout/internal/results"
)

func table(w io.Writer, r *results.Results) error {
	return report.Table(w, r, report.Terminal{Width: 80, Wide: true})
}

func TestTable(t *testing.T) {
	got := text(t, small(t), table)
	checkWidth(t, got)
	golden.Check(t, "table.txt", got)
}

// Without --wide the table has only the columns for the choice of a strategy, on a terminal
// of any width.
func TestDecisiveTable(t *testing.T) {
	for _, width := range []int{40, 80} {
		got := text(t, usual().results(t), func(w io.Writer, r *results.Results) error {
			return report.Table(w, r, report.Terminal{Width: width})
		})
		for line := range strings.Lines(got) {
			if len([]rune(strings.TrimSuffix(line, "\n"))) > width {
				t.Errorf("wider than %d columns: %s", width, line)
			}
		}
		if width == 80 {
			golden.Check(t, "decisive.txt", got)
		}
	}
}

// A block whose figures are too wide is continued below.
func TestTableOfWideFigures(t *testing.T) {
	f := newFixture(t, aRun())
	f.cell(cellPlan{strategy: "goroutine-abandon", op: "db", network: "none", overshoot: 123456789})
	got := text(t, f.collector.Results(), table)
	checkWidth(t, got)
	if n := strings.Count(got, "answers  "); n != 2 || strings.Count(got, "123457039") != 2 {
		t.Errorf("the answers are in %d parts, want 2:\n%s", n, got)
	}
}

// The heading has the number of repeats, and the rest of the table is as for one repeat.
func TestTableOfRepeats(t *testing.T) {
	f := newFixture(t, aRun())
	for repeat := range 3 {
		f.cell(cellPlan{strategy: "errgroup", op: "db", network: "none", repeat: repeat + 1, overshoot: float64(repeat)})
	}
	f.add(&results.Done{})
	got := text(t, f.collector.Results(), table)
	for _, want := range []string{"40 requests a row, medians of 3 repeats, sent within 0.0 ms (max)\n", "   1.0 1.0 1.0 "} {
		if !strings.Contains(got, want) {
			t.Errorf("the text lacks %q:\n%s", want, got)
		}
	}
	for _, not := range []string{"interrupted", "incomplete", "bottleneck"} {
		if strings.Contains(got, not) {
			t.Errorf("the text has %q:\n%s", not, got)
		}
	}
}

func TestTableOfCutFile(t *testing.T) {
	got := text(t, newFixture(t, aRun()).collector.Results(), table)
	if want := "The records end before a row of a strategy had ended, so there is nothing to\nshow.\n"; !strings.Contains(got, want) {
		t.Errorf("the text lacks %q:\n%s", want, got)
	}
}

// With fewer than 100 requests one late request doesn't make the load generator a bottleneck.
func TestBottleneck(t *testing.T) {
	for requests, want := range map[int]bool{99: false, 100: true} {
		f := newFixture(t, aRun())
		f.cell(cellPlan{strategy: "errgroup", op: "db", network: "none", requests: requests, sentLate: 7.5})
		if got := text(t, f.collector.Results(), table); strings.Contains(got, "bottleneck") != want {
			t.Errorf("%d requests, want a bottleneck: %v\n%s", requests, want, got)
		}
	}
}

// Without connections there is no ideal (-), and with several calls in a run the ideal is
// unknown (?).
func TestTableOfIdeals(t *testing.T) {
	for op, want := range map[string]string{"cpu": " 0/- ", "all": " 0/? ", "db": " 20/12 "} {
		f := newFixture(t, aRun())
		f.cell(cellPlan{strategy: "errgroup", op: op, network: "none", unconnected: op != "db"})
		if got := text(t, f.collector.Results(), table); !strings.Contains(got, want) {
			t.Errorf("%s: it lacks %q:\n%s", op, want, got)
		}
	}
}

// The floor's heading names its network.
func TestFloorOnNetwork(t *testing.T) {
	for network, want := range map[string]bool{"none": false, "3g": true} {
		f := newFixture(t, aRun())
		f.cell(cellPlan{strategy: results.FloorName, op: "db", network: network, floor: true})
		f.cell(cellPlan{strategy: "errgroup", op: "db", network: "3g"})
		r := f.done()
		got := text(t, r, table)
		if strings.Contains(got, "\nfloor on network=3g, driver tun, round trip 300.2 ms measured\n") != want {
			t.Errorf("%s:\n%s", network, got)
		}
		page, _ := pageOf(t, r)
		if strings.Contains(page, "calls of 10ms,10ms,10ms,1s over 3g") != want {
			t.Errorf("the network of the floor on %s is wrong on the page", network)
		}
	}
}

// A comparison that was interrupted in its floor has no figures and no explanations.
func TestInterruptedInFloor(t *testing.T) {
	f := newFixture(t, aRun())
	f.cell(cellPlan{strategy: results.FloorName, op: "db", network: "none", floor: true, requests: 200, sentLate: 99, end: results.End{Interrupted: true}})
	f.add(&results.Done{Interrupted: true})
	r := f.collector.Results()
	page, _ := pageOf(t, r)
	for name, got := range map[string]string{"table": text(t, r, table), "markdown": text(t, r, report.Markdown), "page": page} {
		if strings.Count(strings.Join(strings.Fields(got), " "), "The comparison was interrupted before a row of a strategy had ended, so there is nothing to show.") != 1 || strings.Count(got, "interrupted") != 1 {
			t.Errorf("the %s doesn't say once that there is nothing to show:\n%s", name, got)
		}
		for _, not := range []string{"the figures are of", "was the bottleneck", "of what timed out", "under a timeout of", "compared: nothing"} {
			if strings.Contains(got, not) {
				t.Errorf("the %s has %q", name, not)
			}
		}
	}
}

// The formats write no control characters from a file to the terminal.
func TestTableIsPlain(t *testing.T) {
	f := newFixture(t, aRun())
	f.cell(cellPlan{strategy: "\x1b[31mred", op: "db\x07", network: "none"})
	for name, write := range formats() {
		if name != "csv" && strings.ContainsAny(text(t, f.collector.Results(), write), "\x1b\x07") {
			t.Errorf("%s has control characters", name)
		}
	}
}

func formats() map[string]func(io.Writer, *results.Results) error {
	return map[string]func(io.Writer, *results.Results) error{
		"table": table, "markdown": report.Markdown,
		"json": report.JSON, "csv": report.CSV,
	}
}

func TestMarkdown(t *testing.T) {
	golden.Check(t, "report.md", text(t, small(t), report.Markdown))
}

func TestCSV(t *testing.T) {
	got := text(t, small(t), report.CSV)
	golden.Check(t, "report.csv", got)
	lines, err := csv.NewReader(strings.NewReader(got)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 1+6 {
		t.Errorf("%d lines, want the names and 6", len(lines))
	}
	for _, c := range results.Columns() {
		if !slices.Contains(lines[0], c.Name) {
			t.Errorf("the header %q lacks %s", lines[0], c.Name)
		}
	}
}

// Each column is a key of each row and of each repeat, and an unknown figure is null.
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
		t.Error("the command is not written as it was given")
	}
	if strings.Index(got, `"answered_p50_ms"`) > strings.Index(got, `"overshoot_p50_ms"`) {
		t.Error("the columns are not in their order")
	}
}

var errFull = errors.New("the disk is full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

// Each format returns the error of its writer.
func TestFullDisk(t *testing.T) {
	for name, write := range formats() {
		if err := write(full{}, small(t)); !errors.Is(err, errFull) {
			t.Errorf("%s: %v", name, err)
		}
		if err := report.Write(full{}, name, report.Terminal{Width: 80}, small(t), small(t)); !errors.Is(err, errFull) {
			t.Errorf("%s of two: %v", name, err)
		}
	}
}

// Tables fit terminals of 40 columns and more.
func TestWidths(t *testing.T) {
	old, after := twoRuns(t)
	rec := searched(t, "3g", true)
	for _, width := range []int{40, 47, 60, 80, 132, 200} {
		for name, write := range map[string]func(io.Writer) error{
			"table":          func(w io.Writer) error { return report.Table(w, small(t), report.Terminal{Width: width, Wide: true}) },
			"two":            func(w io.Writer) error { return report.Write(w, "table", report.Terminal{Width: width}, old, after) },
			"recommendation": func(w io.Writer) error { return report.Recommendation(w, rec, width) },
		} {
			var b strings.Builder
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(b.String()) {
				if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > width {
					t.Errorf("%s for %d columns has %d: %s", name, width, n, line)
				}
			}
		}
	}
}
