package load_test

import (
	"strings"
	"testing"
	"time"

	"gotimeout/internal/load"
	"gotimeout/internal/results"
	"gotimeout/internal/wire"
)

var facts = wire.Lab{
	Strategies: []string{"baseline", "context-cancel", "offload"}, Families: map[string]string{"offload": "out of the request"},
	Ops:  []wire.Op{{Name: "http"}, {Name: "cache", NoDelay: "a real memcached has no slow command"}},
	Caps: wire.Caps{MaxDelay: "10s", MaxTimeout: "30s", MaxInFlight: 20, Receipts: 10_000},
}

func plan(change func(*load.Plan)) load.Plan {
	p := load.Plan{
		Strategies: []string{"context-cancel"}, Ops: []string{"http"}, Ctxs: []string{"aware"},
		Timeouts: []time.Duration{time.Second}, Delays: []time.Duration{time.Second},
		Rate: 100, Duration: time.Second, Repeat: 1,
	}
	change(&p)
	return p
}

// A plan that the lab can't run is refused, and the error says what to do.
func TestPlanRefused(t *testing.T) {
	for want, change := range map[string]func(*load.Plan){
		`there is no strategy "context-cancle", did you mean context-cancel?`: func(p *load.Plan) { p.Strategies = []string{"context-cancle"} },
		"there is no op to compare: use http, cache":                          func(p *load.Plan) { p.Ops = nil },
		"there is no ctx to compare: use aware, deaf":                         func(p *load.Plan) { p.Ctxs = nil },
		"the strategy baseline is given twice: give it once":                  func(p *load.Plan) { p.Strategies = []string{"baseline", "baseline"} },
		"the network 3g is given twice: give it once":                         func(p *load.Plan) { p.Networks = []string{"3g", "3g"} },
		`there is no op "htp", did you mean http?`:                            func(p *load.Plan) { p.Ops = []string{"http", "htp"} },
		`there is no ctx "def", did you mean deaf?`:                           func(p *load.Plan) { p.Ctxs = []string{"def"} },
		"has no slow command; leave it out with --ops":                        func(p *load.Plan) { p.Ops = []string{"cache"} },
		"--delay 11s is over this lab's cap: use at most 10s":                 func(p *load.Plan) { p.Delays = []time.Duration{0, 11 * time.Second} },
		"--timeout 31s is over this lab's cap: use at most 30s":               func(p *load.Plan) { p.Timeouts = []time.Duration{31 * time.Second} },
		"start it with --network none, or leave --network out":                func(p *load.Plan) { p.Networks = []string{"3g"} },
		"the strategy baseline makes no sense for op http: use --ops db,cpu": func(p *load.Plan) {
			p.Strategies, p.Only = []string{"baseline"}, wire.Only{"baseline": {"db", "cpu"}}
		},
		"a cell needs 10050 receipts, and this lab keeps":             func(p *load.Plan) { p.Strategies, p.Rate = []string{"offload"}, 3320 },
		"start it with --receipts 15050, or lower --rate or --durati": func(p *load.Plan) { p.Rate = 10_000 },
	} {
		if err := plan(change).Check(facts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	few := facts
	few.Caps.MaxInFlight = 19
	if err := plan(func(*load.Plan) {}).Check(few); err == nil || !strings.Contains(err.Error(), "start it with --max-in-flight 20 or more") {
		t.Errorf("a lab with too few runs in flight for the probe: %v", err)
	}
	public := facts
	public.Public = true
	if err := plan(func(*load.Plan) {}).Check(public); err == nil || !strings.Contains(err.Error(), "start it with --no-public") {
		t.Errorf("a public lab: %v", err)
	}
	for name, change := range map[string]func(*load.Plan){
		"as it is":                 func(*load.Plan) {},
		"a fast call of the cache": func(p *load.Plan) { p.Ops, p.Delays = []string{"cache"}, []time.Duration{0} },
	} {
		if err := plan(change).Check(facts); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each combination is a cell. The cells of a network come together, with the floors first.
func TestPlanCells(t *testing.T) {
	p := plan(func(p *load.Plan) {
		p.Strategies, p.Ops, p.Ctxs = []string{"a", "b"}, []string{"http", "db"}, []string{"aware", "deaf"}
		p.Networks = []string{"none", "3g"}
		p.Timeouts, p.Delays = []time.Duration{time.Second, 2 * time.Second}, []time.Duration{0, 5 * time.Second}
	})
	seen := map[results.Key]bool{}
	network := ""
	for i, c := range p.Cells() {
		if floor := i < 2; c.Floor != floor {
			t.Errorf("cell %d: floor %v", i, c.Floor)
		}
		if c.Floor && (c.Delays[0] != 1000 || len(c.Delays) != 1) {
			t.Errorf("the calls of a floor take %v ms", c.Delays)
		}
		seen[results.Key{Strategy: c.Strategy, Op: c.Op, Ctx: c.Ctx, Network: c.Network, Timeout: c.Timeout}] = true
		if network == "3g" && c.Network != "3g" {
			t.Errorf("cell %d returns to the network %q", i, c.Network)
		}
		network = c.Network
	}
	if want := 2 + 2*2*2*2*2; len(seen) != want {
		t.Errorf("%d cells, want %d", len(seen), want)
	}
	p.Only = wire.Only{"b": {"db"}}
	if got, want := len(p.Cells()), 2+2*2*2*(2+1); got != want {
		t.Errorf("%d cells where a strategy suits one of two ops, want %d", got, want)
	}
}

// At the recommended timeout a sweep has as many requests as the sample. At another
// timeout it has as many as are needed to tell the share that is expected there.
func TestPlanSweep(t *testing.T) {
	p := plan(func(p *load.Plan) { p.Duration = time.Minute }) // 6,000 requests
	for _, test := range []struct {
		target, timeout float64
		want            time.Duration
	}{
		{0.01, 100, 4 * time.Second}, {0.01, 200, time.Minute}, {0.01, 400, 4 * time.Second},
		{0.001, 100, 4 * time.Second}, {0.001, 200, time.Minute}, {0.001, 400, 36880 * time.Millisecond},
		{0.0001, 400, time.Minute},
	} {
		of := p.At(test.timeout, &results.Recommendation{Target: test.target, Timeout: 200})
		if of.Duration != test.want || len(of.Timeouts) != 1 || of.Timeouts[0] != time.Duration(test.timeout)*time.Millisecond {
			t.Errorf("%v at %v: %s at %v, want %s", test.target, test.timeout, of.Duration, of.Timeouts, test.want)
		}
	}
}
