package report_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"gotimeout/internal/report"
	"gotimeout/internal/results"
)

// The table and the page begin with the right verdict, and the JSON has it, for comparisons whose
// verdict is known.
func TestVerdict(t *testing.T) {
	all := []string{"goroutine-abandon", "context-cancel", "timer-panic", "errgroup", "io-timeout"}
	for name, test := range map[string]struct {
		op      string
		change  func(*scenario)
		outcome string
		clean   []string
		want    string
	}{
		"some are good":             {"http", func(*scenario) {}, "clean", all[1:], "On http, context-cancel, timer-panic, errgroup and io-timeout leave no work behind: of 100 timed-out calls or more each, all were seen to end"},
		"one harms":                 {"http", func(m *scenario) { m.fault = map[string]flaw{"errgroup/http": {wrong: 2}} }, "clean", []string{all[1], all[2], all[4]}, "On http, context-cancel, timer-panic and io-timeout leave"},
		"one late answer is chance": {"http", func(m *scenario) { m.fault = map[string]flaw{"io-timeout/http": {lateAnswers: 1}} }, "clean", all[1:], "On http, context-cancel, timer-panic, errgroup and io-timeout leave no work behind: of 100 timed-out calls or more each, all were seen to end, so at most 3.7% run on (95%). The op ended within 0.20 ms of the answer (p99 of 400), the backend within 5 ms; the answer came at most 1.9 ms after the timeout (p99 of 100; the floor's: 1.5 ms). Tolerated, as the share may be 1% or less (95% interval): io-timeout answered 1 of 100 calls more than a tenth of the timeout after it. Not among them: goroutine-abandon let 100 of 100 calls run on."},
		"four are not":              {"http", func(m *scenario) { m.fault = map[string]flaw{"io-timeout/http": {lateAnswers: 4}} }, "clean", all[1:4], "On http, context-cancel, timer-panic and errgroup leave"},
		"none is good":              {"db", func(*scenario) {}, "none", nil, "On db, no strategy stops the work: each of 500 timed-out calls that could be seen ran on in the database (95%: at least 99% do). Limit the work there, too."},
		"too short":                 {"http", func(m *scenario) { m.calls = 40 }, "too_short", nil, "On http, the run is too short to choose: at most 10 calls of a strategy timed out, and 20 are the least that tell."},
		"unseen": {"http", func(m *scenario) {
			m.fault = map[string]flaw{}
			for _, s := range all {
				m.fault[s+"/http"] = flaw{unseen: 100}
			}
		}, "unseen", nil, "On http, nobody could see when the backend stopped"},
	} {
		t.Run(name, func(t *testing.T) {
			m := usual()
			m.ops = []string{test.op}
			test.change(&m)
			r := m.results(t)
			if got := text(t, r, table); !strings.HasPrefix(strings.Join(strings.Fields(got), " "), test.want) {
				t.Errorf("want %q at the start of\n%s", test.want, got)
			}
			_, root := pageOf(t, r)
			if got := verdicts(t, root); len(got) != 1 || !strings.HasPrefix(got[0], test.want) {
				t.Errorf("the verdicts of the page are %q", got)
			}
			var object struct {
				Verdicts []struct {
					results.Key
					Outcome, Sentence string
					Strategies        []string

					Excluded, Tolerated []struct{ Strategy, Reason string }
				}
			}
			if err := json.Unmarshal([]byte(text(t, r, report.JSON)), &object); err != nil {
				t.Fatal(err)
			}
			if got := object.Verdicts; len(got) != 1 || got[0].Outcome != test.outcome || !slices.Equal(got[0].Strategies, test.clean) || !strings.HasPrefix(got[0].Sentence, test.want) {
				t.Errorf("%+v", got)
			} else if n := len(got[0].Excluded); test.outcome != "unseen" && n != len(all)-len(test.clean) {
				t.Errorf("%d strategies are excluded: %+v", n, got[0])
			} else if n := len(got[0].Tolerated); n != strings.Count(test.want, "Tolerated") {
				t.Errorf("%d strategies are tolerated: %+v", n, got[0])
			}
		})
	}
}
