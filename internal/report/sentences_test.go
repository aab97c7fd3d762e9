package report_test

import (
	"strings"
	"testing"

	"golang.org/x/net/html"

	"gotimeout/internal/results"
)

// Each fault has its sentence, with a link to its row. Where the floor has the same
// figures there is no sentence.
func TestFaults(t *testing.T) {
	for name, test := range map[string]struct {
		flaw flaw
		want string
	}{
		"wrong answers":   {flaw{wrong: 3}, "gave 3 of 450 calls the answer to another call's question."},
		"one":             {flaw{wrong: 1}, "gave 1 of 450 calls the answer to another call's question."},
		"probe failures":  {flaw{probeFailures: 7}, "7 of 50 clean calls on the same pools failed."},
		"goroutines":      {flaw{goroutines: 9}, "still had 9 goroutines more than before when all of 400 requests had ended and idle connections were closed (the floor's: 0)."},
		"connections":     {flaw{connections: 6}, "still had 6 connections more than before"},
		"open":            {flaw{open: 2}, "had 2 of 400 runs that still went on when the wait for them was over."},
		"late":            {flaw{late: 5}, "did not bind: 5 of 400 requests completed more than 5 ms after the timeout of 250ms."},
		"false timeouts":  {flaw{falseTimeouts: 8}, "timed out 24 of 400 requests, whose calls alone would have ended within 250ms."},
		"failed":          {flaw{failed: 4}, "failed 12 of 400 requests for another reason than a timeout."},
		"refused":         {flaw{refused: 4}, "made the lab refuse 12 of 400 requests to protect itself."},
		"overshoot":       {flaw{overshoot: 80}, "after the timeout (p99 of 100; the floor's: 1.5 ms)."},
		"probe time":      {flaw{probeTime: 300}, "slowed the calls that followed: clean calls took 311 ms (max of 50; the floor's: 10.6 ms)."},
		"TIME-WAIT":       {flaw{timeWait: 60}, "left 60 sockets in TIME-WAIT after 400 requests (the floor's: 0)."},
		"connections lot": {flaw{dialed: 300}, "dialed 300 connections for 400 requests, where "},
	} {
		t.Run(name, func(t *testing.T) {
			m := usual()
			m.clean, m.ops = true, []string{"db"}
			m.fault = map[string]flaw{"errgroup/db": test.flaw}
			_, root := pageOf(t, m.results(t))
			got := sentences(t, root)
			if len(got) == 0 || !strings.Contains(textOf(got[0]), test.want) {
				t.Fatalf("no %q in %q", test.want, textsOf(got))
			}
			if !strings.HasPrefix(textOf(got[0]), "errgroup on db ") {
				t.Errorf("%q doesn't begin with errgroup on db", textOf(got[0]))
			}
			checkLinks(t, root, got)
		})
	}
}

// checkLinks checks that each sentence has links, and that each link leads to the row of its
// strategy.
func checkLinks(t *testing.T, root *html.Node, got []*html.Node) {
	t.Helper()
	ids := byID(t, root)
	for _, s := range got {
		links := all(s, "a")
		if len(links) == 0 {
			t.Errorf("%q has no link", textOf(s))
		}
		for _, a := range links {
			row := ids[strings.TrimPrefix(attribute(a, "href"), "#")]
			if row == nil || row.Data != "tr" || !strings.HasPrefix(textOf(row), textOf(all(a, "code")[0])) {
				t.Errorf("the link %q leads to %v", textOf(a), row)
			}
		}
	}
}

func textsOf(nodes []*html.Node) (of []string) {
	for _, n := range nodes {
		of = append(of, textOf(n))
	}
	return of
}

func TestNothingToSay(t *testing.T) {
	m := usual()
	m.clean = true
	text, root := pageOf(t, m.results(t))
	if got := sentences(t, root); len(got) > 0 || !strings.Contains(text, "Nothing stands out") {
		t.Errorf("%q", textsOf(got))
	}
}

// A figure that the floor shares comes from the machine, and is no fault of a strategy.
func TestBesideTheFloor(t *testing.T) {
	m := usual()
	m.clean, m.ops = true, []string{"db"}
	same := flaw{goroutines: 9, connections: 6, timeWait: 60, probeTime: 300, wrong: 2, probeFailures: 3}
	m.fault = map[string]flaw{"errgroup/db": same, "floor/db": same}
	_, root := pageOf(t, m.results(t))
	if got := sentences(t, root); len(got) > 0 {
		t.Errorf("%q", textsOf(got))
	}
}

// A strategy whose requests failed or were refused is not among the clean ones, even
// where the floor's requests failed too.
func TestNoPraise(t *testing.T) {
	for name, bad := range map[string]flaw{"failed": {failed: 3}, "refused": {refused: 3}} {
		m := usual()
		m.ops = []string{"http"}
		m.fault = map[string]flaw{"errgroup/http": bad, "floor/http": {failed: 100, refused: 100}}
		_, root := pageOf(t, m.results(t))
		if got := verdicts(t, root); len(got) != 1 || !strings.HasPrefix(got[0], "On http, context-cancel, timer-panic and io-timeout leave no work behind") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// On a slow network clean calls are slow without a fault of a strategy.
func TestNetworkIsNoFault(t *testing.T) {
	m := usual()
	m.clean, m.ops, m.networks = true, []string{"db"}, []string{"3g"}
	m.fault = map[string]flaw{"errgroup/db": {probeTime: 300}}
	_, root := pageOf(t, m.results(t))
	if got := sentences(t, root); len(got) > 0 {
		t.Errorf("%q", textsOf(got))
	}
}

// A strategy leaves no work behind if each of its timed-out calls was seen to end. For
// another strategy a sentence says how many calls ran on.
func TestNoWorkBehind(t *testing.T) {
	for name, test := range map[string]struct {
		flaw         flaw
		calls        int
		want, praise string
	}{
		"all seen to end": {flaw{}, 400, "", "errgroup and io-timeout leave no work behind: of 100 timed-out calls or more each, all were seen to end, so at most 3.7% run on (95%)."},
		"one ran on":      {flaw{ranOn: 1, outlast: 50_000}, 200, "let 1 of 50 timed-out calls run on in the HTTP server", "errgroup and io-timeout leave no work behind: of 50 timed-out calls or more each, nearly all were seen to end, so at most 10% run on (95%)."},
		"one is told":     {flaw{ranOn: 1, outlast: 50_000}, 200, "", "Tolerated, as the share may be 1% or less (95% interval): errgroup let 1 of 50 calls run on."},
		"two ran on":      {flaw{ranOn: 2, outlast: 50_000}, 200, "let 2 of 50 timed-out calls run on in the HTTP server", "timer-panic and io-timeout leave no work behind"},
		"two are told":    {flaw{ranOn: 2, outlast: 50_000}, 200, "", "Not among them: goroutine-abandon let 50 of 50 calls run on and errgroup let 2 of 50 calls run on."},
		"two of many":     {flaw{ranOn: 2, outlast: 50_000}, 800, "let 2 of 200 timed-out calls run on in the HTTP server", "errgroup and io-timeout leave no work behind"},
		"unseen":          {flaw{unseen: 49}, 200, "", "timer-panic and io-timeout leave no work behind"},
		"one seen":        {flaw{unseen: 49, ranOn: 1, outlast: 90_000}, 200, "let 1 of 1 timed-out call (49 more could not be seen) run on", "timer-panic and io-timeout leave no work behind"},
		"few":             {flaw{}, 40, "", "On http, the run is too short to choose: at most 10 calls of a strategy timed out, and 20 are the least that tell. Make it longer (--duration, --rate), or the timeout shorter."},
	} {
		m := usual()
		m.ops, m.calls = []string{"http"}, test.calls
		m.fault = map[string]flaw{"errgroup/http": test.flaw}
		_, root := pageOf(t, m.results(t))
		got := textsOf(sentences(t, root))
		if verdict := verdicts(t, root)[0]; !strings.Contains(verdict, test.praise) {
			t.Errorf("%s: no %q in %q", name, test.praise, verdict)
		}
		if !strings.Contains(strings.Join(got, "\n"), test.want) {
			t.Errorf("%s: no %q in %q", name, test.want, got)
		}
	}
}

// A difference inside the spread of the floor, of its values or of its repeats, is no
// fault of a strategy.
func TestInsideTheFloorsSpread(t *testing.T) {
	f := newFixture(t, aRun())
	for repeat, worst := range []float64{3, 90, 4} {
		f.cells++
		f.add(&results.Cell{Cell: f.cells, Strategy: results.FloorName, Op: "db", Network: "none", Floor: true, Timeout: 250, Delays: []float64{10}, Repeat: repeat + 1})
		for i := range 200 {
			f.add(&results.Request{Cell: f.cells, Phase: results.Load, Status: "completed", Delay: 10, Answered: 11 + worst*float64(i/199)})
		}
		f.add(&results.End{Cell: f.cells})
	}
	for _, overshoot := range []float64{80, 120} {
		f.cell(cellPlan{strategy: map[bool]string{true: "errgroup", false: "timer-panic"}[overshoot < 100], op: "db", network: "none", overshoot: overshoot, unseen: true})
	}
	_, root := pageOf(t, f.done())
	all := strings.Join(textsOf(sentences(t, root)), "\n")
	if strings.Contains(all, "errgroup on db answered") || !strings.Contains(all, "timer-panic on db answered 120 ms after the timeout (max of 10; the floor's: ") {
		t.Errorf("overshoots of 80 and 120 ms, with a floor of up to 91 ms: %s", all)
	}
}

// With the usual behaviour the sentences name the strategies whose work goes on after the answer.
func TestUsual(t *testing.T) {
	_, root := pageOf(t, usual().results(t))
	got := sentences(t, root)
	all := strings.Join(append(verdicts(t, root), textsOf(got)...), "\n")
	for _, want := range []string{
		"answered 1.9 ms after the timeout (p99 of 100; the floor's: 1.5 ms), but let 100 of 100 timed-out calls run on in the database: 188 backend seconds for nobody per 1,000 requests, 37.6 for each second of the load (the floor's: 0)",
		"goroutine-abandon on http worked on for 753 ms after its answer (p99 of 400; the floor's: 0 ms); at the last answer there were 52 goroutines more than before (the floor's: 2); also",
		"On db, no strategy stops the work: each of 500 timed-out calls that could be seen ran on in the database (95%: at least 99% do). Limit the work there, too.",
		"On http, context-cancel, timer-panic, errgroup and io-timeout leave no work behind: of 100 timed-out calls or more each, all were seen to end, so at most 3.7% run on (95%). The op ended within 0.20 ms of the answer (p99 of 400), the backend within 5 ms; the answer came at most 1.9 ms after the timeout (p99 of 100; the floor's: 1.5 ms).",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	if strings.Contains(all, "baseline on") {
		t.Errorf("a sentence blames the baseline, which has no bound:\n%s", all)
	}
	checkLinks(t, root, got)
}

// Serious faults come first, and the number of sentences is limited.
func TestSentencesAreOrdered(t *testing.T) {
	m := usual()
	m.fault = map[string]flaw{
		"errgroup/db":     {wrong: 1, probeFailures: 2, goroutines: 9, connections: 9, open: 1, late: 2, failed: 3, refused: 3, timeWait: 50},
		"timer-panic/db":  {goroutines: 20, dialed: 300, overshoot: 50},
		"io-timeout/http": {falseTimeouts: 4},
	}
	_, root := pageOf(t, m.results(t))
	got := sentences(t, root)
	if len(got) != 7 {
		t.Fatalf("%d sentences: %q", len(got), textsOf(got))
	}
	for i, want := range []string{"answer to another call's question", "clean calls", "20 goroutines"} {
		if !strings.Contains(textOf(got[i]), want) || attribute(got[i], "class") != "serious" {
			t.Errorf("sentence %d is %q, not on %s", i+1, textOf(got[i]), want)
		}
	}
	if want := "; also errgroup on db (9)."; !strings.Contains(textOf(got[2]), want) {
		t.Errorf("no %q in %q", want, textOf(got[2]))
	}
	checkLinks(t, root, got)
}

func TestWarnings(t *testing.T) {
	slow, error := usual(), usual()
	slow.fault = map[string]flaw{"errgroup/db": {sentLate: 20}}
	error.fault = map[string]flaw{"errgroup/db": {error: "the lab was gone", open: 3}}
	unfinished := usual()
	unfinished.unfinished = true
	interrupted := unfinished.results(t)
	interrupted.Interrupted = true
	for name, test := range map[string]struct {
		of   *results.Results
		want []string
	}{
		"none":        {usual().results(t), nil},
		"slow load":   {slow.results(t), []string{"The load generator was the bottleneck: requests of errgroup on db were sent 20.2 ms after they were due (p99)"}},
		"unfinished":  {unfinished.results(t), []string{"The records end before the comparison did"}},
		"interrupted": {interrupted, []string{"The comparison was interrupted"}},
		"notes":       {error.results(t), []string{"errgroup on db: the lab was gone.", "errgroup on db: 3 runs still went on when the wait for them was over."}},
	} {
		t.Run(name, func(t *testing.T) {
			_, root := pageOf(t, test.of)
			var got []string
			for _, list := range all(root, "ul")[1:] { // after the verdict
				got = append(got, textsOf(all(list, "li"))...)
			}
			if len(got) != len(test.want) {
				t.Fatalf("%q, not %q", got, test.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], test.want[i]) {
					t.Errorf("%q, not %q", got[i], test.want[i])
				}
			}
		})
	}
}
