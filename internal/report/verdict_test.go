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
		"some are good": {"http", func(*scenario) {}, "clean", all[1:], "On http, context-cancel, timer-panic, errgroup and io-timeout leave no work behind: of 100 timed-out calls or more each, all were seen to end"},
		"one harms":     {"http", func(m *scenario) { m.fault = map[string]flaw{"errgroup/http": {wrong: 2}} }, "clean", []string{all[1], all[2], all[4]}, "On http, context-cancel, timer-panic and io-timeout leave"},
		"none is good":  {"db", func(*scenario) {}, "none", nil, "On db, no strategy stops the work: each of 500 timed-out calls that could be seen ran on in the database."},
		"too short":     {"http", func(m *scenario) { m.calls = 40 }, "too_short", nil, "On http, the run is too short to choose: at most 10 calls of a strategy timed out, and 20 are the least that tell."},
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
				}
			}
			if err := json.Unmarshal([]byte(text(t, r, report.JSON)), &object); err != nil {
				t.Fatal(err)
			}
			if got := object.Verdicts; len(got) != 1 || got[0].Outcome != test.outcome || !slices.Equal(got[0].Strategies, test.clean) || !strings.HasPrefix(got[0].Sentence, test.want) {
				t.Errorf("%+v", got)
			}
		})
	}
}
