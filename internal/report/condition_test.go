package report_test

import (
	"strings"
	"testing"

	"gotimeout/internal/report"
	"gotimeout/internal/results"
)

func names() []string {
	return []string{"baseline", "goroutine-abandon", "context-cancel", "timer-panic", "errgroup", "io-timeout"}
}

func TestParseCondition(t *testing.T) {
	for given, want := range map[string]string{
		"context-cancel.overshoot_p99_ms > 50":  "context-cancel.overshoot_p99_ms > 50",
		"context-cancel.overshoot_p99_ms>50ms":  "context-cancel.overshoot_p99_ms > 50",
		" overshoot_p99_ms >= .5 ms ":           "overshoot_p99_ms >= 0.5",
		"floor.overshoot_p99_ms < 1":            "floor.overshoot_p99_ms < 1",
		"late != 0":                             "late != 0",
		"requests == 400":                       "requests == 400",
		"ran_on_percent <= 10%":                 "ran_on_percent <= 10",
		"waste_s_per_1000 > 1s":                 "waste_s_per_1000 > 1",
		"waste_s_per_1000 > 1s/1000":            "waste_s_per_1000 > 1",
		"cpu_us_per_request > 800us":            "cpu_us_per_request > 800",
		"cpu_us_per_request > 800µs/request":    "cpu_us_per_request > 800", // the micro sign
		"cpu_us_per_request > 800μs":            "cpu_us_per_request > 800", // the Greek letter
		"allocated_bytes_per_request > -1000 B": "allocated_bytes_per_request > -1000",
	} {
		c, err := report.ParseCondition(given, names())
		if err != nil || c.String() != want {
			t.Errorf("%s: %v, %v; want %s", given, c, err, want)
		}
	}
}

func TestParseConditionParts(t *testing.T) {
	c, err := report.ParseCondition("errgroup.drain_ms <= 1.5", names())
	if err != nil || c.Strategy != "errgroup" || c.Column.Name != "drain_ms" || c.Op != "<=" || c.Limit != 1.5 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestParseConditionRefuses(t *testing.T) {
	for given, want := range map[string]string{
		"":                       `"" is no condition: write [strategy.]column OP number, as context-cancel.overshoot_p99_ms > 50`,
		"late":                   `"late" is no condition: `,
		"late > many":            `"late > many" is no condition: `,
		"late > 1 2 3":           `"late > 1 2 3" is no condition: `,
		"late > 1.2.3":           `"1.2.3" is no number`,
		"late > .":               `"." is no number`,
		"latte > 1":              `there is no column "latte", did you mean late?`,
		"overshot_p99_ms > 1":    `there is no column "overshot_p99_ms", did you mean overshoot_p99_ms?`,
		"overshoot_p99 > 1":      `there is no column "overshoot_p99", did you mean overshoot_p99_ms?`,
		"xyzzy > 1":              `there is no column "xyzzy": the nearest are `,
		"contxt-cancel.late > 1": `there is no strategy "contxt-cancel", did you mean context-cancel?`,
		"late = 1":               `there is no comparison "=", did you mean `,
		"late => 1":              `there is no comparison "=>", did you mean `,
		"late > 1ms":             `late is a count: leave out the unit "ms"`,
		"floor.late > 0":         `the floor has no late: its calls end in time, name a strategy or none`,
		"floor.false_timeouts>0": `the floor has no false_timeouts: its calls end in time, name a strategy or none`,
		"drain_ms > 1s":          `drain_ms is in ms, not in "s": write the number in that, with the unit or without`,
	} {
		_, err := report.ParseCondition(given, names())
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", given, err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	r := small(t)
	const db, g3 = " on op=db ctx=aware network=none timeout=250ms", " on op=http ctx=aware network=3g timeout=250ms"
	for condition, want := range map[string][]string{
		"context-cancel.overshoot_p99_ms > 50":   {"context-cancel.overshoot_p99_ms is 61.2" + db + ": > 50"},
		"context-cancel.overshoot_p99_ms > 61.2": nil,
		"overshoot_p99_ms > 50": {
			"context-cancel.overshoot_p99_ms is 61.2" + db + ": > 50",
			"errgroup.overshoot_p99_ms is not known" + g3 + ", which can't pass > 50",
		},
		"goroutine-abandon.waste_s_per_1000 > 0": {"goroutine-abandon.waste_s_per_1000 is 187.4" + db + ": > 0"},
		"baseline.overshoot_p99_ms > 50":         {"baseline.overshoot_p99_ms is not known" + db + ", which can't pass > 50"},
		"floor.overshoot_p99_ms > 1":             {"floor.overshoot_p99_ms is 3.9" + db + ": > 1"},
		"answered_max_ms < 100":                  {"errgroup.answered_max_ms is not known" + g3 + ", which can't pass < 100"}, // the floor is not judged
		"io-timeout.late > 1":                    {"io-timeout.late > 1: there was no row to judge"},
		"baseline.late >= 10":                    {"baseline.late is 10" + db + ": >= 10"},
		"baseline.late > 10":                     nil,
		"baseline.late <= 10":                    {"baseline.late is 10" + db + ": <= 10"},
		"baseline.late < 10":                     nil,
		"baseline.late == 10":                    {"baseline.late is 10" + db + ": == 10"},
		"baseline.late == 11":                    nil,
		"baseline.late != 11":                    {"baseline.late is 10" + db + ": != 11"},
		"baseline.late != 10":                    nil,
	} {
		c, err := report.ParseCondition(condition, names())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range c.Check(r) {
			got = append(got, v.String())
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: %q, want %q", condition, got, want)
		}
	}
}

// A comparison of the baseline alone has no overshoot to judge.
func TestCheckNothingToJudge(t *testing.T) {
	f := newFixture(t, aRun())
	f.cell(cellPlan{strategy: "baseline", op: "db", network: "none", overshoot: -1})
	c, err := report.ParseCondition("overshoot_p99_ms > 50", names())
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Check(f.collector.Results()); len(got) != 1 || got[0].Row != nil {
		t.Errorf("%v", got)
	}
}

// A condition that is written and read again is the same condition.
func FuzzParseCondition(f *testing.F) {
	f.Add("context-cancel.overshoot_p99_ms > 50ms")
	f.Add("late=>1")
	f.Add("cpu_us_per_request > 800μs")
	f.Fuzz(func(t *testing.T, given string) {
		c, err := report.ParseCondition(given, names())
		if err != nil {
			return
		}
		again, err := report.ParseCondition(c.String(), names())
		if err != nil || again != c {
			t.Errorf("%q: %v, then %v, %v", given, c, again, err)
		}
		c.Check(&results.Results{})
	})
}
