package load_test

import (
	"bytes"
	"cmp"
	"io"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/golden"
	"gotimeout/internal/load"
)

// scriptOf returns the script of a plan.
func scriptOf(t *testing.T, p load.Plan, thresholds ...load.Threshold) string {
	t.Helper()
	var script bytes.Buffer
	if err := p.K6(&script, "http://127.0.0.1:8000/", thresholds); err != nil {
		t.Fatal(err)
	}
	return script.String()
}

// People read and change the script, so the golden files have it whole.
func TestK6Script(t *testing.T) {
	several := plan(func(p *load.Plan) {
		p.Strategies, p.Ops, p.Ctxs = []string{"baseline", "context-cancel"}, []string{"http", "db"}, []string{"aware", "deaf"}
		p.Timeouts, p.Delays = []time.Duration{250 * time.Millisecond}, []time.Duration{10 * time.Millisecond, 10 * time.Millisecond, time.Second}
	})
	network := plan(func(p *load.Plan) {
		p.Networks, p.Rate, p.Duration = []string{"delay=100ms loss=1%"}, 0.5, 10*time.Second
	})
	for name, got := range map[string]string{
		"k6.js": scriptOf(t, several,
			load.Threshold{Column: "overshoot_p99_ms", Op: ">", Limit: 50},
			load.Threshold{Strategy: "context-cancel", Column: "failed", Op: ">", Limit: 0}),
		"k6-network.js": scriptOf(t, network),
	} {
		golden.Check(t, name, got)
	}
}

// A condition fails the comparison where it is true, and a threshold of k6 fails where it
// is false, so each comparison is inverted.
func TestK6Thresholds(t *testing.T) {
	const of = `{strategy:context-cancel,op:http,ctx:aware}": ["`
	for want, threshold := range map[string]load.Threshold{
		`"answered_ms` + of + `p(50)<=20"`:                             {Column: "answered_p50_ms", Op: ">", Limit: 20},
		`"answered_ms` + of + `p(99)<20"`:                              {Column: "answered_p99_ms", Op: ">=", Limit: 20},
		`"answered_ms` + of + `max>=20.5"`:                             {Column: "answered_max_ms", Op: "<", Limit: 20.5},
		`"overshoot_ms` + of + `p(50)>-1"`:                             {Column: "overshoot_p50_ms", Op: "<=", Limit: -1},
		`"overshoot_ms` + of + `p(99)<=0"`:                             {Column: "overshoot_p99_ms", Op: ">", Limit: 0},
		`"overshoot_ms` + of + `max<=1000"`:                            {Column: "overshoot_max_ms", Op: ">", Limit: 1e3},
		`"completed` + of + `count>=90"`:                               {Column: "completed", Op: "<", Limit: 90},
		`"timed_out` + of + `count==100"`:                              {Column: "timed_out", Op: "!=", Limit: 100},
		`"failed` + of + `count<=0"`:                                   {Column: "failed", Op: ">", Limit: 0},
		`"refused` + of + `count!=7"`:                                  {Column: "refused", Op: "==", Limit: 7},
		`"overshoot_ms{strategy:floor,op:http,ctx:aware}": ["max<=5"]`: {Strategy: "floor", Column: "overshoot_max_ms", Op: ">", Limit: 5},
	} {
		p := plan(func(p *load.Plan) { p.Strategies = []string{"baseline", "context-cancel"} })
		if got := scriptOf(t, p, threshold); !strings.Contains(got, want) {
			t.Errorf("%+v: want %s in\n%s", threshold, want, got)
		}
	}
}

// limitsOf returns the limits in a script.
func limitsOf(t *testing.T, script string) string {
	t.Helper()
	_, rest, found := strings.Cut(script, "const limits = {")
	limits, _, closed := strings.Cut(rest, "};")
	if !found || !closed {
		t.Fatalf("there are no limits in %s", script)
	}
	return limits
}

// Each row has thresholds of its own. The floor has one only where a condition names it,
// and so has the overshoot of the baseline. A figure without a value doesn't pass.
func TestK6ThresholdsOfRows(t *testing.T) {
	p := plan(func(p *load.Plan) {
		p.Strategies, p.Ops = []string{"baseline", "context-cancel"}, []string{"http", "db"}
	})
	for want, thresholds := range map[string][]load.Threshold{
		"\n": nil,
		`
  "failed{strategy:baseline,op:http,ctx:aware}": ["count<=0"],
  "failed{strategy:context-cancel,op:http,ctx:aware}": ["count<=0"],
  "failed{strategy:baseline,op:db,ctx:aware}": ["count<=0"],
  "failed{strategy:context-cancel,op:db,ctx:aware}": ["count<=0"],
`: {{Column: "failed", Op: ">", Limit: 0}},
		`
  "overshoot_ms{strategy:context-cancel,op:http,ctx:aware}": ["p(99)<=50","max<=90"],
  "overshot{strategy:context-cancel,op:http,ctx:aware}": ["count>0"],
  "overshoot_ms{strategy:context-cancel,op:db,ctx:aware}": ["p(99)<=50","max<=90"],
  "overshot{strategy:context-cancel,op:db,ctx:aware}": ["count>0"],
`: {{Column: "overshoot_p99_ms", Op: ">", Limit: 50}, {Column: "overshoot_max_ms", Op: ">", Limit: 90}},
		`
  "overshoot_ms{strategy:floor,op:http,ctx:aware}": ["p(50)<=5"],
  "overshot{strategy:floor,op:http,ctx:aware}": ["count>0"],
  "overshoot_ms{strategy:floor,op:db,ctx:aware}": ["p(50)<=5"],
  "overshot{strategy:floor,op:db,ctx:aware}": ["count>0"],
`: {{Strategy: "floor", Column: "overshoot_p50_ms", Op: ">", Limit: 5}},
		`
  "overshoot_ms{strategy:baseline,op:http,ctx:aware}": ["max<=5"],
  "overshot{strategy:baseline,op:http,ctx:aware}": ["count>0"],
  "overshoot_ms{strategy:baseline,op:db,ctx:aware}": ["max<=5"],
  "overshot{strategy:baseline,op:db,ctx:aware}": ["count>0"],
`: {{Strategy: "baseline", Column: "overshoot_max_ms", Op: ">", Limit: 5}},
	} {
		if got := limitsOf(t, scriptOf(t, p, thresholds...)); got != want {
			t.Errorf("%+v:%s\nwant%s", thresholds, got, want)
		}
	}
}

// A plan that k6 can't run, and a column that k6 doesn't see, are refused with an error, and no
// script is written.
func TestK6Refuses(t *testing.T) {
	const seen = "answered_p50_ms, answered_p99_ms, answered_max_ms, overshoot_p50_ms, overshoot_p99_ms, overshoot_max_ms, completed, timed_out, failed, refused"
	asItIs := func(*load.Plan) {}
	for want, test := range map[string]struct {
		change    func(*load.Plan)
		url       string
		threshold []load.Threshold
	}{
		"k6 doesn't see straggle_p99_ms: write a condition on " + seen + ", or leave it to gotimeout compare": {change: asItIs, threshold: []load.Threshold{{Column: "straggle_p99_ms", Op: ">"}}},
		"k6 doesn't see waste_s_per_1000: ":                      {change: asItIs, threshold: []load.Threshold{{Strategy: "context-cancel", Column: "waste_s_per_1000", Op: ">"}}},
		"has no row for errgroup.failed: change":                 {change: asItIs, threshold: []load.Threshold{{Strategy: "errgroup", Column: "failed", Op: ">"}}},
		"has no row for floor.failed: change":                    {change: func(p *load.Plan) { p.Networks = []string{"3g"} }, threshold: []load.Threshold{{Strategy: "floor", Column: "failed", Op: ">"}}},
		"write one script for each --network":                    {change: func(p *load.Plan) { p.Networks = []string{"none", "3g"} }},
		"has one timeout: write one script for each":             {change: func(p *load.Plan) { p.Timeouts = []time.Duration{1, 2} }},
		"leave --repeat out, and run the script several times":   {change: func(p *load.Plan) { p.Repeat = 2 }},
		"would take 900ms with its warm-up: raise --duration":    {change: func(p *load.Plan) { p.Duration = 400 * time.Millisecond }},
		`"localhost" is no URL of a lab: write http://host:port`: {change: asItIs, url: "localhost"},
	} {
		var script bytes.Buffer
		err := plan(test.change).K6(&script, cmp.Or(test.url, "http://h:1"), test.threshold)
		if err == nil || !strings.Contains(err.Error(), want) || script.Len() > 0 {
			t.Errorf("%v, and %d bytes; want %q", err, script.Len(), want)
		}
	}
	short := plan(func(p *load.Plan) { p.Duration = 500 * time.Millisecond })
	if err := short.K6(io.Discard, "http://h:1", nil); err != nil {
		t.Errorf("a second with the warm-up: %v", err)
	}
}
