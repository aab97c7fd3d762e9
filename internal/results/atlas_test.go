package results_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"gotimeout/internal/receipt"
	"gotimeout/internal/results"
)

// view is a receipt of a run with a timeout of 500 ms; a negative figure is not known.
func view(status receipt.Status, answered, straggle, waste float64, closed int) *receipt.View {
	known := func(v float64) *float64 {
		if v < 0 {
			return nil
		}
		return &v
	}
	return &receipt.View{Status: &status, Answered: known(answered), Straggle: known(straggle), Waste: known(waste), Connections: receipt.Connections{Reused: 1, Kept: 1 - closed}}
}

// A cell is judged by the median of its runs, and by what most of them did.
func TestAtlasJudge(t *testing.T) {
	client := results.Client{Op: "db", Backend: "the database", Delay: 1500, Timeout: 500}
	const unknown = -1
	run := func(of *receipt.View) results.AtlasRun { return results.AtlasRun{Receipt: of, Clean: true} }
	onTime := run(view(receipt.TimedOut, 501, 0, 0, 1))
	for name, test := range map[string]struct {
		cell  results.AtlasCell
		kind  results.Kind
		clean bool
	}{
		"all stops":                   {results.AtlasCell{Runs: []results.AtlasRun{onTime}}, results.Kind{Answer: results.OnTime, Call: results.Stopped, Backend: results.Stopped, Closes: true}, true},
		"one of three is late":        {results.AtlasCell{Runs: []results.AtlasRun{onTime, run(view(receipt.TimedOut, 1500, 0, 0, 1)), onTime}}, results.Kind{Answer: results.OnTime, Call: results.Stopped, Backend: results.Stopped, Closes: true}, true},
		"the backend runs on":         {results.AtlasCell{Runs: []results.AtlasRun{run(view(receipt.TimedOut, 501, 0, 1000, 0))}}, results.Kind{Answer: results.OnTime, Call: results.Stopped, Backend: results.RanOn}, false},
		"the call runs on":            {results.AtlasCell{Runs: []results.AtlasRun{run(view(receipt.TimedOut, 501, 1000, 1000, 0))}}, results.Kind{Answer: results.OnTime, Call: results.RanOn, Backend: results.RanOn}, false},
		"the backend is not seen":     {results.AtlasCell{Runs: []results.AtlasRun{run(view(receipt.TimedOut, 501, 0, unknown, 0))}}, results.Kind{Answer: results.OnTime, Call: results.Stopped, Backend: results.Unseen}, false},
		"one of three backends seen":  {results.AtlasCell{Runs: []results.AtlasRun{onTime, run(view(receipt.TimedOut, 501, 0, unknown, 1)), run(view(receipt.TimedOut, 501, 0, unknown, 1))}}, results.Kind{Answer: results.OnTime, Call: results.Stopped, Backend: results.Unseen, Closes: true}, false},
		"late":                        {results.AtlasCell{Runs: []results.AtlasRun{run(view(receipt.Completed, 1501, 0, 0, 0))}}, results.Kind{Answer: results.TooLate, Call: results.Stopped, Backend: results.Stopped}, false},
		"answered before the timeout": {results.AtlasCell{Runs: []results.AtlasRun{run(view(receipt.Completed, 2, 0, unknown, 0))}}, results.Kind{Answer: results.AtOnce, Call: results.Stopped, Backend: results.Unseen}, false},
		"no bound":                    {results.AtlasCell{Strategy: "patient", Runs: []results.AtlasRun{run(view(receipt.Completed, 1501, 0, 0, 0))}}, results.Kind{Answer: results.Unbounded, Call: results.Stopped, Backend: results.Stopped}, false},
		"failed":                      {results.AtlasCell{Runs: []results.AtlasRun{run(view(receipt.Failed, 20, 0, 0, 1))}}, results.Kind{Answer: results.Fails, Call: results.Stopped, Backend: results.Stopped, Closes: true}, false},
		"a broken pool":               {results.AtlasCell{Runs: []results.AtlasRun{{Receipt: onTime.Receipt}}}, results.Kind{Answer: results.OnTime, Call: results.Stopped, Backend: results.Stopped, Closes: true, Spoils: true}, false},
		"no receipt":                  {results.AtlasCell{Runs: []results.AtlasRun{{Clean: true, Error: "too many runs"}}}, results.Kind{Answer: results.Lost}, false},
		"no such call":                {results.AtlasCell{Why: "it makes no sense"}, results.Kind{Answer: results.NotRun}, false},
	} {
		a := results.Atlas{Strategies: []results.Strategy{{Name: "patient", Unbounded: true}, {Name: ""}}}
		got := a.Judge(client, &test.cell)
		if got.Kind != test.kind || got.Clean() != test.clean {
			t.Errorf("%s: %+v, clean %v, want %+v, %v", name, got.Kind, got.Clean(), test.kind, test.clean)
		}
	}
	without := new(results.Atlas).Judge(results.Client{Delay: 300, Timeout: 100}, &results.AtlasCell{Runs: []results.AtlasRun{run(view(receipt.TimedOut, 101, 0, unknown, 0))}})
	if !without.Clean() || without.Backend != results.Without {
		t.Errorf("a client without a backend: %+v", without)
	}
}

func TestAtlasFile(t *testing.T) {
	a := &results.Atlas{
		Type: results.TypeAtlas, Format: results.Format, Repeat: 1, LeftOut: []results.LeftOut{},
		Cells: []*results.AtlasCell{{Strategy: "s", Op: "db", With: "work=cpu", Ctx: "aware", Network: "delay=1ms loss=1%", Runs: []results.AtlasRun{{Receipt: view(receipt.TimedOut, 1, 0, -1, 0)}}}},
	}
	var file bytes.Buffer
	if err := a.Write(&file); err != nil {
		t.Fatal(err)
	}
	again, err := results.ReadAtlas(&file)
	if err != nil || !reflect.DeepEqual(a, again) {
		t.Errorf("%v, %+v\nwant %+v", err, again, a)
	}
	if id := a.Cells[0].ID(); id != "db.work-cpu.s.aware.delay-1ms-loss-1-" {
		t.Errorf("the ID is %s", id)
	}
	if c := again.Cell(results.Client{Op: "db", With: "work=cpu"}, "s", "aware", "delay=1ms loss=1%"); c != again.Cells[0] {
		t.Errorf("the cell is %+v", c)
	}
	for text, none := range map[string]bool{"": true, "{}": true, `{"type":"run"}`: true, `{"type":"atlas","format":9}`: false, `{"type":"atlas","format":1,`: true} {
		if _, err := results.ReadAtlas(strings.NewReader(text)); err == nil || errors.Is(err, results.ErrNoResults) != none {
			t.Errorf("%s: %v", text, err)
		}
	}
}
