package report_test

import (
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"gotimeout/internal/golden"
	"gotimeout/internal/report"
	"gotimeout/internal/results"
)

// recorded reads the records of a real run: gotimeout compare --out, or recommend --out.
func recorded(t *testing.T, name string) *results.Results {
	t.Helper()
	r, err := results.Read(golden.Unzipped(t, "testdata/recorded/"+name+".jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// firstScreen is what a terminal of 80 by 24 shows first, in one line.
func firstScreen(t *testing.T, of string) string {
	t.Helper()
	lines := strings.Split(of, "\n")
	lines = lines[:min(24, len(lines))]
	checkWidth(t, strings.Join(lines, "\n"))
	return strings.Join(strings.Fields(strings.Join(lines, " ")), " ")
}

func firstOf(w io.Writer, r *results.Results) error {
	return report.Table(w, r, report.Terminal{Width: 80})
}

// The first screen of compare says what to choose and how sure that is, for recorded runs.
func TestFirstScreenOfCompare(t *testing.T) {
	for name, want := range map[string][]string{
		"http": {"On http, context-cancel, timer-panic, errgroup and io-timeout leave no work behind: of 30 timed-out calls or more each, all were seen to end, so at most 11% run on (95%).",
			"Not among them: goroutine-abandon let 30 of 30 calls run on."},
		"db":    {"On db, no strategy stops the work: 150 of 151 timed-out calls that could be seen ran on in the database (95%: at least 96% do). Limit the work there, too."},
		"short": {"On http, the run is too short to choose: at most 5 calls of a strategy timed out, and 20 are the least that tell. Make it longer (--duration, --rate)"},
	} {
		screen := firstScreen(t, text(t, recorded(t, name), firstOf))
		for i, sentence := range want {
			if at := strings.Index(screen, sentence); at < 0 || i == 0 && at > 0 {
				t.Errorf("%s: %q is not on the first screen, or not first:\n%s", name, sentence, screen)
			}
		}
	}
}

// The first screen of recommend says which timeouts to give, and how sure that is.
func TestFirstScreenOfRecommend(t *testing.T) {
	for name, test := range map[string]struct {
		target float64
		want   []string
	}{
		"recommend-3g":    {0.05, []string{"To cut no more than 5% of the calls of http over 3g that would have completed, give goroutine-abandon", "95% interval", "The calls alone: all but 5% take no longer than"}},
		"recommend-deaf":  {0.05, []string{"No strategy that was tried can be used to cut 5% of the calls of cache, deaf: context-cancel and errgroup bind no call."}},
		"recommend-short": {0.01, []string{"The run is too short to recommend a timeout: 49 calls completed, and 368 are the least that tell a share of 1%."}},
	} {
		rec, err := results.Recommend(recorded(t, name), test.target)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := report.Recommendation(&b, rec, 80); err != nil {
			t.Fatal(err)
		}
		screen := firstScreen(t, b.String())
		for i, sentence := range test.want {
			if at := strings.Index(screen, sentence); at < 0 || i == 0 && at > 0 {
				t.Errorf("%s: %q is not on the first screen, or not first:\n%s", name, sentence, screen)
			}
		}
	}
}

// The page says for each row what its figures are of, and has the results of --fail-if.
func TestPageOfRecorded(t *testing.T) {
	conditions := []report.Condition{}
	for _, c := range []string{"wrong_answers > 0", "ran_on_percent > 50", "nosuch.late > 0"} {
		condition, err := report.ParseCondition(c, []string{"nosuch"})
		if err != nil {
			t.Fatal(err)
		}
		conditions = append(conditions, condition)
	}
	var b strings.Builder
	if err := report.HTML(&b, recorded(t, "http"), conditions...); err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	ids := byID(t, root)
	if got, want := textOf(ids["g1-r3"]), "120 requests, 30 timed out; 0 to 11% run on (95%)"; !strings.Contains(got, want) {
		t.Errorf("no %q in %q", want, got)
	}
	got, want := textsOf(all(ids["checked"], "li")), []string{
		"--fail-if 'wrong_answers > 0': no row fails.",
		"--fail-if 'ran_on_percent > 50' fails: goroutine-abandon on http (100)",
		"--fail-if 'nosuch.late > 0' fails: there was no row to judge",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
