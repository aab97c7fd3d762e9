package report_test

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/golden"
	"gotimeout/internal/machine"
	"gotimeout/internal/receipt"
	"gotimeout/internal/report"
	"gotimeout/internal/results"
	"gotimeout/strategies"
)

// atlasOf has two clients on two networks: of each strategy one way to end, and each
// outcome that has words of its own.
func atlasOf() *results.Atlas {
	trip, same, more := 81.2, 30, 31
	a := &results.Atlas{
		Type: results.TypeAtlas, Format: results.Format, Started: time.Date(2026, 11, 28, 18, 0, 0, 0, time.UTC), Repeat: 2,
		Lab: machine.Machine{OS: "linux/amd64", Kernel: "6.18", CPU: "a processor", Processors: 2, Go: "go1.26", Version: "v1"},
		Strategies: []results.Strategy{
			{Name: "patient", Family: string(strategies.NoFamily), Unbounded: true},
			{Name: "leaving", Family: string(strategies.AroundCall)},
			{Name: "cancelling", Family: string(strategies.AroundCall)},
			{Name: "bounding", Family: string(strategies.InsideClient)},
			{Name: "limiting", Family: string(strategies.InBackend)},
			{Name: "breaking", Family: string(strategies.OutsideProcess)},
			{Name: "queueing", Family: string(strategies.OutOfRequest)},
			{Name: "adding", Family: "a new family"},
		},
		Clients: []results.Client{
			{Op: "db", With: "work=cpu", Backend: "the database", Embedded: true, Delay: 1500, Timeout: 500, Settings: map[string]string{
				string(strategies.AroundCall): "QueryContext", string(strategies.InsideClient): "readTimeout", string(strategies.InBackend): "max_execution_time"}},
			{Op: "cpu", Delay: 300, Timeout: 100},
		},
		Networks: []results.AtlasNetwork{{Profile: "none", Driver: "tun", Before: 30, After: &same}, {Profile: "cross-region", Driver: "tun", RoundTrip: &trip, Before: 30, After: &more}},
		LeftOut:  []results.LeftOut{{Op: "cache", Why: "a real memcached has no slow command"}},
	}
	for _, c := range a.Clients {
		for _, s := range a.Strategies {
			for _, ctx := range []string{"aware", "deaf"} {
				for _, n := range a.Networks {
					if c.Backend != "" || n.Profile == "none" {
						a.Cells = append(a.Cells, cellOf(c, s.Name, ctx, n.Profile))
					}
				}
			}
		}
	}
	return a
}

// cellOf is a cell of the fixture.
func cellOf(c results.Client, strategy, ctx, network string) *results.AtlasCell {
	cell := &results.AtlasCell{Strategy: strategy, Op: c.Op, With: c.With, Ctx: ctx, Network: network, Path: fmt.Sprintf("/%s?op=%s&ctx=%s", strategy, c.Op, ctx)}
	const unknown = -1
	more := c.Delay - c.Timeout
	status, after, straggle, waste, closed := receipt.TimedOut, 1.5, 0.0, 0.0, 0
	clean := true
	switch late := ctx == "deaf"; strategy {
	case "patient":
		status, after = receipt.Completed, more
	case "leaving":
		straggle, waste = more, more
	case "cancelling":
		waste, closed = more, 1
		if late {
			status, after, waste, closed = receipt.Completed, more, 0, 0
		}
	case "bounding":
		waste, closed = unknown, 1
		if network != "none" {
			after = more / 2
		}
	case "breaking":
		clean = !late
		if !late {
			status, after = receipt.Failed, -20
		}
	case "queueing":
		status, after, waste = receipt.Completed, 2-c.Timeout, more
	case "adding":
		cell.Why = "op=" + c.Op + " makes no sense under adding"
		return cell
	}
	if c.Backend == "" {
		waste = unknown
	}
	for n := range 2 {
		r := view(status, c.Timeout+after+float64(n)/10, straggle, waste)
		r.ID, r.Connections = fmt.Sprintf("5eed-%d", n), receipt.Connections{Reused: 1, Closed: closed, RST: closed, Kept: 1 - closed}
		if status == receipt.Failed {
			r.Error = &receipt.Error{Code: "op_failed", Message: "the child <ended>."}
		}
		run := results.AtlasRun{Receipt: r, Clean: clean, CleanMS: 1.25}
		if !clean {
			run.Error = "no connection is free"
		}
		cell.Runs = append(cell.Runs, run)
	}
	return cell
}

// view is a receipt; a negative figure is not known.
func view(status receipt.Status, answered, straggle, waste float64) *receipt.View {
	known := func(v float64) *float64 {
		if v < 0 {
			return nil
		}
		return &v
	}
	r := &receipt.View{Status: &status, Complete: true, Answered: &answered, Straggle: known(straggle), Waste: known(waste)}
	ended := answered + straggle
	r.Ended = &ended
	if waste >= 0 {
		stopped := answered + waste
		r.BackendEnded = &stopped
	}
	if straggle > 0 {
		r.Goroutines = 1
	}
	return r
}

func TestAtlas(t *testing.T) {
	for name, write := range map[string]func(io.Writer, *results.Atlas) error{
		"atlas.txt":  func(w io.Writer, a *results.Atlas) error { return report.Atlas(w, a, 80) },
		"atlas.md":   report.AtlasMarkdown,
		"atlas.html": report.AtlasHTML,
	} {
		var b bytes.Buffer
		if err := write(&b, atlasOf()); err != nil {
			t.Fatal(err)
		}
		golden.Check(t, name, b.Bytes())
	}
}

// Each cell with a run leads to its receipts, in the page and from the text, and the receipts
// have the command that makes such a call.
func TestAtlasLinks(t *testing.T) {
	var page, text bytes.Buffer
	a := atlasOf()
	if err := report.AtlasHTML(&page, a); err != nil {
		t.Fatal(err)
	}
	if err := report.AtlasMarkdown(&text, a); err != nil {
		t.Fatal(err)
	}
	ids := map[string]int{}
	for _, m := range regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(page.String(), -1) {
		ids[m[1]]++
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%d elements have the id %s", n, id)
		}
	}
	for _, m := range regexp.MustCompile(`(?:href="|atlas\.html)#([^")]+)`).FindAllStringSubmatch(page.String()+text.String(), -1) {
		if ids[m[1]] == 0 {
			t.Errorf("nothing has the id %s", m[1])
		}
	}
	for _, cell := range a.Cells {
		if cell.Why != "" {
			continue
		}
		_, receipts, _ := strings.Cut(page.String(), `<article class="receipt" id="`+cell.ID()+`">`)
		receipts, _, _ = strings.Cut(receipts, "</article>")
		if !strings.Contains(receipts, "curl &#39;localhost:8000"+strings.ReplaceAll(cell.Path, "&", "&amp;")+"&#39;") || strings.Count(receipts, "\n5eed-") != 2 {
			t.Errorf("the receipts of %s: %s", cell.ID(), receipts)
		}
		for _, in := range []string{`href="#` + cell.ID() + `"`, "atlas.html#" + cell.ID() + ")"} {
			if !strings.Contains(page.String()+text.String(), in) {
				t.Errorf("nothing leads to %s", in)
			}
		}
	}
}

// An interrupted atlas may lack cells, clients and networks.
func TestAtlasInterrupted(t *testing.T) {
	a := atlasOf()
	a.Interrupted, a.Networks, a.Cells = true, a.Networks[:1], a.Cells[:3]
	for _, write := range []func(io.Writer, *results.Atlas) error{
		func(w io.Writer, a *results.Atlas) error { return report.Atlas(w, a, 40) }, report.AtlasMarkdown, report.AtlasHTML,
	} {
		var b bytes.Buffer
		if err := write(&b, a); err != nil || !strings.Contains(strings.ReplaceAll(b.String(), "\n", " "), "The atlas was interrupted: cells are missing") {
			t.Errorf("%v, %s", err, &b)
		}
	}
}

// What is read as an atlas is drawn in each format, and written again it is read as the same.
func FuzzAtlas(f *testing.F) {
	a := atlasOf()
	a.Clients, a.Networks = a.Clients[:1], a.Networks[:1]
	a.Cells = slices.DeleteFunc(a.Cells, func(c *results.AtlasCell) bool { return c.Op != "db" || c.Network != "none" || c.Ctx != "aware" })
	var b bytes.Buffer
	if err := a.Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	head := fmt.Sprintf(`{"type":%q,"format":%d`, results.TypeAtlas, results.Format)
	const names = `,"networks":[{"profile":"none"}],"clients":[{"op":"a","backend":"b"}],"strategies":[{"name":"s","family":"f"}],"cells":[{"op":"a","strategy":"s","ctx":"aware","network":"none"`
	for _, rest := range []string{
		"", "}", `,"cells":[null]}`, `,"cells":[{}],"clients":[{"op":"a"}]}`, `,"networks":[{"profile":"<script>"}],"clients":[{"op":"\n"}],"strategies":[{"name":"é","family":"a family"}]}`,
		names + `}]}`, names + `,"why":"no"}]}`, names + `,"runs":[{}]}]}`, names + `,"runs":[{"receipt":{}}]}]}`, names + `,"runs":[{"receipt":{"status":"timed_out","answered_ms":1e308,"straggle_ms":1e308},"clean_ms":-1}]}]}`,
	} {
		f.Add([]byte(head + rest))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		a, err := results.ReadAtlas(bytes.NewReader(file))
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("the error has several lines: %v", err)
			}
			return
		}
		var b bytes.Buffer
		if err := a.Write(&b); err != nil {
			t.Fatal(err)
		}
		written := b.String()
		if again, err := results.ReadAtlas(&b); err != nil {
			t.Errorf("%s: written again: %v", file, err)
		} else if err := again.Write(&b); err != nil || b.String() != written {
			t.Errorf("%s, and read again %s, %v", written, &b, err)
		}
		for _, write := range []func(io.Writer, *results.Atlas) error{
			func(w io.Writer, a *results.Atlas) error { return report.Atlas(w, a, 80) }, report.AtlasMarkdown, report.AtlasHTML,
		} {
			if err := write(io.Discard, a); err != nil {
				t.Error(err)
			}
		}
	})
}
