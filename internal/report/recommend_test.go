package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"gotimeout/internal/golden"
	"gotimeout/internal/report"
	"gotimeout/internal/results"
)

// searched is a recommendation of made-up cells of 400 calls, some of them cut.
func searched(t *testing.T, network string, done bool) *results.Recommendation {
	t.Helper()
	run := aRun()
	run.Command = "gotimeout recommend --network 3g"
	f := newFixture(t, run)
	trip := 300.25
	for _, of := range []struct {
		strategy  string
		timeout   float64
		cut, fail int
	}{
		{results.SampleName(), 30_000, 0, 2},
		{"goroutine-abandon", 352, 180, 0}, {"context-cancel", 352, 400, 0},
		{"goroutine-abandon", 364, 4, 0}, {"context-cancel", 364, 399, 1}, {"errgroup", 364, 6, 0},
		{"context-cancel", 665, 0, 0}, {"errgroup", 665, 5, 0},
	} {
		f.cells++
		f.add(&results.Cell{Cell: f.cells, Strategy: of.strategy, Op: "http", Ctx: "aware", Network: network, RoundTrip: &trip, Timeout: of.timeout, Delays: []float64{50}})
		for i := range 400 {
			status, answered, waste, dialed := "completed", 350+float64(i%100)/7, 0.0, 0
			if i < 20+of.cut/2 {
				dialed = 1
			}
			switch {
			case i < of.cut:
				status, answered, waste = "timed_out", of.timeout+0.5, 12.0
			case i >= 400-of.fail:
				status = "failed"
			}
			f.add(&results.Request{Cell: f.cells, Phase: results.Load, Status: status, Answered: answered, Delay: 50})
			f.add(&results.Receipt{Cell: f.cells, Phase: results.Load, Status: status, Answered: answered, Delay: 50, Started: float64(i), Waste: &waste, Dialed: dialed})
		}
		f.add(&results.End{Cell: f.cells})
	}
	f.add(&results.Done{Interrupted: !done})
	rec, err := results.Recommend(f.collector.Results(), 0.01)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func recommendation(t *testing.T, rec *results.Recommendation) string {
	t.Helper()
	var b strings.Builder
	if err := report.Recommendation(&b, rec, 80); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRecommendation(t *testing.T) {
	got := recommendation(t, searched(t, "3g", true))
	checkWidth(t, got)
	golden.Check(t, "recommend.txt", got)
}

// A recommendation that was interrupted is shown, and says so.
func TestRecommendationInterrupted(t *testing.T) {
	if got := recommendation(t, searched(t, "3g", false)); !strings.Contains(got, "It was interrupted") {
		t.Error(got)
	}
	few := searched(t, "3g", true)
	few.Sweep, few.Verdict, few.High = nil, nil, nil
	got := strings.Join(strings.Fields(recommendation(t, few)), " ")
	if !strings.Contains(got, "to more, as there were too few calls to tell") || strings.Contains(got, "strategy") {
		t.Error(got)
	}
	var page bytes.Buffer
	if err := report.RecommendationHTML(&page, few); err != nil || strings.Contains(page.String(), "<svg") {
		t.Error(err, page.String())
	}
}

// JSON has the same figures, and null for an unknown figure.
func TestRecommendationJSON(t *testing.T) {
	rec := searched(t, "3g", true)
	rec.High = nil
	var b bytes.Buffer
	if err := report.RecommendationJSON(&b, rec); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Timeout  float64  `json:"timeout_ms"`
		Low      *float64 `json:"low_ms"`
		High     *float64 `json:"high_ms"`
		Calls    int
		Verdicts []struct{ Strategy, Outcome, Sentence string }
		Sweep    []struct {
			Timeout float64 `json:"timeout_ms"`
			Share   float64 `json:"false_timeouts_share"`
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Timeout != 364 || got.Low == nil || got.High != nil || got.Calls != 398 || len(got.Sweep) != len(rec.Sweep) || got.Sweep[1].Share != 1 {
		t.Errorf("%+v", got)
	}
	if v := got.Verdicts[1]; v.Strategy != "context-cancel" || v.Outcome != "misses" || !strings.Contains(v.Sentence, "reaches it at 665 ms") {
		t.Errorf("%+v", v)
	}
}

// A name from a file writes no control characters to the terminal.
func TestRecommendationIsPlain(t *testing.T) {
	if got := recommendation(t, searched(t, "3g\x1b[2J", true)); strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
}

// A recommendation names the faults of its measurement.
func TestRecommendationDoubts(t *testing.T) {
	rec := searched(t, "3g", true)
	first, last := 350.0, 500.0
	rec.Sample.TookFirst, rec.Sample.TookLast = &first, &last
	rec.Verdict[0].Unbound = true
	got := strings.Join(strings.Fields(recommendation(t, rec)), " ")
	for _, want := range []string{
		"the load was not steady: half the calls of its first quarter took up to 350 ms, of its last 500 ms",
		"its timeout does not bind",
		"2 more calls failed or were refused",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
}

// The page has the same sentences and figures, and a picture with a description of each
// curve. It loads nothing from another origin, and escapes each name.
func TestRecommendationPage(t *testing.T) {
	rec := searched(t, `<script>alert(1)</script>`, true)
	var b bytes.Buffer
	if err := report.RecommendationHTML(&b, rec); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), "recommend.html"), b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(&b)
	if err != nil {
		t.Fatal(err)
	}
	pictures := all(root, "svg")
	if len(pictures) != 2 || len(all(root, "script")) > 0 || len(all(root, "link")) > 0 || len(all(root, "img")) > 0 {
		t.Errorf("%d pictures, or a script, a link or an img", len(pictures))
	}
	for _, want := range []string{"context-cancel: 100% at 352 ms, 100% at 364 ms, 0% at 665 ms", "target of 1%"} {
		if got := textOf(all(pictures[0], "desc")[0]); !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	text, page := recommendation(t, rec), strings.Join(strings.Fields(textOf(root)), " ")
	for _, paragraph := range strings.Split(text, "\n\n")[:1] {
		if !strings.Contains(page, strings.Join(strings.Fields(paragraph), " ")) {
			t.Errorf("the page lacks %s", paragraph)
		}
	}
	if rows := all(all(root, "tbody")[0], "tr"); len(rows) != len(rec.Sweep) {
		t.Errorf("%d rows of %d", len(rows), len(rec.Sweep))
	}
}

func TestRecommendationWriterFails(t *testing.T) {
	rec := searched(t, "3g", true)
	for name, write := range map[string]func(io.Writer, *results.Recommendation) error{"text": func(w io.Writer, r *results.Recommendation) error { return report.Recommendation(w, r, 80) }, "html": report.RecommendationHTML} {
		if err := write(full{}, rec); !errors.Is(err, errFull) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
