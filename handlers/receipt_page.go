package handlers

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"

	"gotimeout/internal/receipt"
	"gotimeout/strategies"
)

//go:embed receipt.html
var receiptHTML string

var receiptTemplate = template.Must(template.New("receipt").Parse(receiptHTML))

// writeReceiptPage serves a receipt to a person. The browser asks again as long as
// something goes on.
func (l *Lab) writeReceiptPage(w http.ResponseWriter, v receipt.View) {
	var page bytes.Buffer
	if err := receiptTemplate.Execute(&page, l.pageOf(v)); err != nil {
		panic(err) // only a field that is not there, which any test finds
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = page.WriteTo(w)
}

// receiptPage is a receipt with what is drawn of it.
type receiptPage struct {
	receipt.View
	Left     string       // "" until it is complete
	Colour   int          // the strategy's
	Deadline string       // where the timeout is drawn
	Bars     []receiptBar // of the three times
	Calls    []receiptBar // of the phases
	Facts    [][2]string  // names and values
	Again    string       // runs the same
}

// receiptBar is a time from left to right, in percent of the longest.
type receiptBar struct {
	Name, Class, X, Width, Text string
}

func (l *Lab) pageOf(v receipt.View) receiptPage {
	timeout := parsed(v.Timeout)
	pg := receiptPage{View: v, Again: again(v), Facts: particulars(v)}
	if v.Complete {
		pg.Left = left(v, l.opNamed(v.Slow))
	}
	pg.Colour = max(0, slices.IndexFunc(l.Strategies, func(s strategies.Strategy) bool { return s.Name == v.Name })) % colours
	scale := scaleOf(v, timeout)
	pg.Deadline = percent(timeout, scale)
	for _, at := range []struct {
		name, class string
		ms          *float64
	}{{"answered", "answered", v.Answered}, {"ended", "ended", v.Ended}, {"backend ended", "backend", v.BackendEnded}} {
		b := receiptBar{Name: at.name, Class: at.class, X: "0%", Width: "0%", Text: "not yet"}
		switch {
		case at.ms != nil:
			b.Width, b.Text = percent(*at.ms, scale), figure(at.ms, "")+" ms"
		case v.Complete:
			b.Text = "nobody could see"
		}
		pg.Bars = append(pg.Bars, b)
	}
	for _, ph := range v.Phases {
		b := receiptBar{Name: ph.Name, Class: "phase", X: percent(*ph.At, scale), Width: percent(scale-*ph.At, scale), Text: "goes on"}
		if ph.Op != "" {
			b.Name = ph.Op + " " + ph.Name
		}
		if ph.Took != nil {
			b.Width, b.Text = percent(*ph.Took, scale), figure(ph.Took, "")+" ms"
		}
		if ph.Failed {
			b.Class, b.Text = "failed", b.Text+", failed"
		}
		pg.Calls = append(pg.Calls, b)
	}
	return pg
}

// colours is how many the page has.
const colours = 8

// scaleOf is the longest time of a receipt, in milliseconds, and some room.
func scaleOf(v receipt.View, timeout float64) float64 {
	longest := timeout
	for _, at := range []*float64{v.Answered, v.Ended, v.BackendEnded} {
		if at != nil {
			longest = max(longest, *at)
		}
	}
	for _, ph := range v.Phases {
		longest = max(longest, *ph.At)
		if ph.Took != nil {
			longest = max(longest, *ph.At+*ph.Took)
		}
	}
	return longest * 1.03
}

func percent(ms, of float64) string { return fmt.Sprintf("%.2f%%", 100*ms/of) }

func (l *Lab) opNamed(name string) Op {
	for _, op := range l.Ops {
		if op.Name == name {
			return op
		}
	}
	return Op{}
}
