package report_test

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"io"
	"math"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"gotimeout/internal/golden"
	"gotimeout/internal/report"
	"gotimeout/internal/results"
)

// repeats is a comparison of one strategy, with one overshoot for each repeat.
func repeats(t *testing.T, run results.Run, overshoots ...float64) *fixture {
	f := newFixture(t, run)
	for i, v := range overshoots {
		f.cell(cellPlan{strategy: "context-cancel", op: "db", network: "none", repeat: i + 1, overshoot: v})
	}
	return f
}

func (f *fixture) done() *results.Results {
	f.add(&results.Done{})
	return f.collector.Results()
}

func against(old *results.Results, format string) func(io.Writer, *results.Results) error {
	return func(w io.Writer, r *results.Results) error {
		return report.Write(w, format, report.Terminal{Width: 80, Wide: true}, old, r)
	}
}

// twoRuns returns two comparisons with different overshoots, settings and machines. Each
// has a row that the other lacks.
func twoRuns(t *testing.T) (old, new *results.Results) {
	other := aRun()
	other.Rate, other.TCP = 400, nil
	other.Lab.Go, other.Machine.Go = "go1.27.0", "go1.27.0"
	before, after := repeats(t, aRun(), 1.1, 1.2, 1.3, 1.2, 1.25), repeats(t, other, 9.4, 9.2, 9.9, 9.7, 9.1)
	before.cell(cellPlan{strategy: "errgroup", op: "db", network: "none"})
	after.cell(cellPlan{strategy: "baseline", op: "db", network: "none", overshoot: -1})
	for _, f := range []*fixture{before, after} {
		f.cell(cellPlan{strategy: "io-timeout", op: "cache", network: "none"})
	}
	return before.done(), after.done()
}

func TestCompareTable(t *testing.T) {
	old, r := twoRuns(t)
	got := text(t, r, against(old, "table"))
	checkWidth(t, got)
	golden.Check(t, "compare.txt", got)
}

func TestCompareMarkdown(t *testing.T) {
	old, r := twoRuns(t)
	golden.Check(t, "compare.md", text(t, r, against(old, "markdown")))
}

func TestCompareCSV(t *testing.T) {
	old, r := twoRuns(t)
	lines, err := csv.NewReader(strings.NewReader(text(t, r, against(old, "csv")))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 + 2*len(results.Columns()); len(lines) != want {
		t.Errorf("%d lines, want %d", len(lines), want)
	}
	want := []string{"context-cancel", "db", "aware", "none", "250", "false", "overshoot_p99_ms", "1.2", "9.4", "683.33", "0.0079", "worse"}
	for _, line := range lines {
		if line[6] == "overshoot_p99_ms" && line[0] == "context-cancel" {
			line[9], line[10] = line[9][:6], line[10][:6]
			if !slices.Equal(line, want) {
				t.Errorf("%q, want %q", line, want)
			}
		}
	}
}

// compared is the JSON of two comparisons.
type compared struct {
	Tested  int
	Remarks []string
	Rows    []struct {
		Strategy string
		Changes  []changed
	}
}

type changed struct {
	Column        string
	Old, New, P   *float64
	ChangePercent *float64 `json:"change_percent"`
	Verdict       *string
}

func comparedOf(t *testing.T, old, r *results.Results) (out compared) {
	t.Helper()
	if err := json.Unmarshal([]byte(text(t, r, against(old, "json"))), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func (c compared) column(name string) changed {
	i := slices.IndexFunc(c.Rows[0].Changes, func(ch changed) bool { return ch.Column == name })
	return c.Rows[0].Changes[i]
}

func TestVerdicts(t *testing.T) {
	low, high := []float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}
	for name, test := range map[string]struct {
		old, new []float64
		verdict  string
	}{
		"more overshoot":    {low, high, "worse"},
		"less overshoot":    {high, low, "better"},
		"the same":          {low, low, "~"},
		"equal":             {[]float64{1, 1, 1, 1}, []float64{1, 1, 1, 1}, "~"},
		"one value between": {[]float64{1, 2, 3, 6}, []float64{5, 7, 8, 9}, "~"}, // p = 4/70
		"too few of old":    {low[:3], high, ""},
		"too few of new":    {low, high[:3], ""},
	} {
		c := comparedOf(t, repeats(t, aRun(), test.old...).done(), repeats(t, aRun(), test.new...).done())
		ch := c.column("overshoot_p50_ms")
		if got := ch.Verdict; got == nil && test.verdict != "" || got != nil && *got != test.verdict {
			t.Errorf("%s: %+v, want %q", name, ch, test.verdict)
		}
		advised := slices.ContainsFunc(c.Remarks, func(s string) bool { return strings.Contains(s, "--repeat 5 (at least 4)") })
		if advised != (test.verdict == "") {
			t.Errorf("%s: %q", name, c.Remarks)
		}
	}
}

// A change of a column that is neither good nor bad is "differs".
func TestVerdictWithoutDirection(t *testing.T) {
	late := []float64{-1, -1, -1, -1} // completed
	c := comparedOf(t, repeats(t, aRun(), 1, 1, 1, 1).done(), repeats(t, aRun(), late...).done())
	for name, want := range map[string]string{"completed": "differs", "timed_out": "differs", "late": "worse", "overshoot_p99_ms": "worse", "requests": "~"} {
		if ch := c.column(name); *ch.Verdict != want {
			t.Errorf("%s: %s, want %s", name, *ch.Verdict, want)
		}
	}
	if ch := c.column("ran_on_percent"); ch.Verdict != nil || ch.New != nil || ch.ChangePercent != nil {
		t.Errorf("%+v of a column that is unknown in the new comparison", ch)
	}
}

// A change of less than 1% is none, however small its p. The columns of the load
// generator get no verdict.
func TestNoVerdict(t *testing.T) {
	hundred := []float64{100, 100.01, 100.02, 100.03}
	for name, test := range map[string]struct {
		old, new []float64
		verdict  string
	}{
		"0.9% more":   {hundred, []float64{100.9, 100.91, 100.92, 100.93}, "~"},
		"1.1% more":   {hundred, []float64{101.1, 101.11, 101.12, 101.13}, "worse"},
		"0.9% less":   {hundred, []float64{99.1, 99.11, 99.12, 99.13}, "~"},
		"1.1% less":   {hundred, []float64{98.9, 98.91, 98.92, 98.93}, "better"},
		"more than 0": {[]float64{0, 0, 0, 0}, []float64{1, 2, 3, 4}, "worse"},
	} {
		c := comparedOf(t, repeats(t, aRun(), test.old...).done(), repeats(t, aRun(), test.new...).done())
		if ch := c.column("overshoot_p50_ms"); ch.Verdict == nil || *ch.Verdict != test.verdict || ch.P == nil {
			t.Errorf("%s: %+v, want %q", name, ch, test.verdict)
		}
	}

	late := func(ms float64) *results.Results {
		f := newFixture(t, aRun())
		for i := range 5 {
			f.cell(cellPlan{strategy: "errgroup", op: "db", network: "none", repeat: i + 1, sentLate: ms})
		}
		return f.done()
	}
	c := comparedOf(t, late(0.1), late(4))
	if ch := c.column("sent_late_p99_ms"); ch.Verdict != nil || ch.P != nil || *ch.ChangePercent < 3000 {
		t.Errorf("%+v of the load generator", ch)
	}
	if got := text(t, late(4), against(late(0.1), "table")); strings.Contains(got, "sent_late") || strings.Contains(got, "too few repeats") {
		t.Errorf("a column of the load generator is shown:\n%s", got)
	}
}

// p is twice a share: of all the ways to deal the values to two sides, the share in which
// the sides are at least as far apart as these.
func TestP(t *testing.T) {
	for _, test := range [][2][]float64{
		{{1, 2, 3, 4}, {5, 6, 7, 8}},
		{{1, 2, 3, 6}, {5, 7, 8, 9}},
		{{1, 1, 2, 3}, {1, 3, 3, 4}},
		{{0, 0, 0, 0, 1}, {1, 1, 1, 0}},
		{{2, 2, 5, 5, 5}, {5, 5, 5, 7, 9, 9}},
		{{4, 4, 5, 4}, {2, 2, 2, 4, 1}},
		{{3, 3, 4, 1}, {3, 0, 1, 0, 1}},
	} {
		for range 2 {
			c := comparedOf(t, repeats(t, aRun(), test[0]...).done(), repeats(t, aRun(), test[1]...).done())
			got, want := c.column("overshoot_p50_ms").P, dealt(test[0], test[1])
			if got == nil || math.Abs(*got-want) > 1e-9 {
				t.Errorf("%v: p is %v, want %v", test, *got, want)
			}
			test[0], test[1] = test[1], test[0]
		}
	}
}

func dealt(a, b []float64) float64 {
	all := append(slices.Clone(a), b...)
	apart := func(first uint) (u float64) {
		for i, x := range all {
			for j, y := range all {
				if first>>i&1 == 1 && first>>j&1 == 0 {
					u += float64(1+cmp.Compare(x, y)) / 2
				}
			}
		}
		return u
	}
	this := apart(1<<len(a) - 1)
	less, more, ways := 0, 0, 0
	for first := range uint(1) << len(all) {
		if bits.OnesCount(first) != len(a) {
			continue
		}
		ways++
		if u := apart(first); u <= this {
			less++
			if u == this {
				more++
			}
		} else {
			more++
		}
	}
	return min(1, 2*float64(min(less, more))/float64(ways))
}

func TestCompareWithItself(t *testing.T) {
	got := text(t, small(t), against(small(t), "table"))
	for _, want := range []string{"Rows in both: 6. Figures that are unchanged or the load generator's own, and not\nshown: 192.\n", "The old comparison: The comparison was interrupted"} {
		if !strings.Contains(got, want) {
			t.Errorf("the text lacks %q:\n%s", want, got)
		}
	}
	for _, not := range []string{"These settings differ", "Judged", "--repeat"} {
		if strings.Contains(got, not) {
			t.Errorf("the text has %q:\n%s", not, got)
		}
	}
}

func TestCompareNothingInCommon(t *testing.T) {
	f := newFixture(t, aRun())
	f.cell(cellPlan{strategy: "errgroup", op: "db", network: "none"})
	got := text(t, f.done(), against(repeats(t, aRun(), 1).done(), "table"))
	for _, want := range []string{
		"The two comparisons have no row in common.", "Only in the old comparison: context-cancel on op=db ctx=aware network=none",
		"Only in the new comparison: errgroup on op=db",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the text lacks %q:\n%s", want, got)
		}
	}
}

func TestCompareFormats(t *testing.T) {
	err := report.Write(io.Discard, "html", report.Terminal{Width: 80}, small(t), small(t))
	if want := "two comparisons are shown as table, markdown, json or csv, not as html"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
