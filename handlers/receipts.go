package handlers

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"gotimeout/internal/badnet"
	"gotimeout/internal/palette"
	"gotimeout/internal/receipt"
	"gotimeout/internal/stacks"
	"gotimeout/internal/wire"
	"gotimeout/strategies"

	"github.com/go-chi/chi/v5"
)

const defaultLimit = 20

// receipts serves the last receipts, the newest first, or those after the receipt of
// after=, the oldest first.
func (l *Lab) receipts(w http.ResponseWriter, r *http.Request) {
	q, err := query(r.URL.RawQuery, "after", "limit", "format")
	limit := min(defaultLimit, l.Ledger.Size())
	if text, given := q["limit"]; given {
		limit, err = strconv.Atoi(text)
		if err != nil || limit < 1 || limit > l.Ledger.Size() {
			err = fmt.Errorf("limit=%.20s is no number from 1 to %d: the ledger holds no more receipts", text, l.Ledger.Size())
		}
	}
	asPage, wrong := asPage(w, r, q)
	if err = cmp.Or(err, wrong); err != nil {
		badParameter(w, r, err)
		return
	}
	found := l.Ledger.Last(limit)
	if after, given := q["after"]; given {
		found, err = l.Ledger.After(after, limit)
		if errors.Is(err, receipt.ErrGone) {
			refuse(w, r, http.StatusGone, "receipts_gone", fmt.Sprintf(
				"the receipts right after %.40q are gone: the ledger holds the last %d (--receipts): ask sooner, or for those after a later one",
				after, l.Ledger.Size()))
			return
		} else if err != nil {
			l.noReceipt(w, r, after)
			return
		}
	}
	if !asPage {
		l.streamReceipts(w, r, found)
		return
	}
	views := make([]receipt.View, len(found))
	for i, rc := range found {
		views[i] = l.resolved(rc)
	}
	writePage(w, http.StatusOK, "receipts.html", receiptsPage{views, q["after"], "/receipts?" + jsonQuery(q)})
}

// streamReceipts writes a wire.Receipts one receipt at a time: ten thousand at once take
// megabytes for each reader.
func (l *Lab) streamReceipts(w http.ResponseWriter, r *http.Request, found []*receipt.Receipt) {
	if len(found) == 0 {
		writeJSON(w, r, http.StatusOK, wire.Receipts{Receipts: []receipt.View{}})
		return
	}
	people := forPeople(r)
	before, between, after := `{"receipts":[`, ",", "]}\n"
	if people {
		before, between, after = "{\n  \"receipts\": [\n    ", ",\n    ", "\n  ]\n}\n"
	}
	w.Header()["Content-Type"] = jsonType
	for _, rc := range found {
		one := bytes.TrimSuffix(encoded(l.resolved(rc)), []byte("\n"))
		if people {
			one = indented(one, "    ")
		}
		if _, err := io.WriteString(w, before+string(one)); err != nil {
			return // the caller has left
		}
		before = between
	}
	_, _ = io.WriteString(w, after)
}

// receiptsPage is the data for the template of /receipts.
type receiptsPage struct {
	Receipts []receipt.View
	After    string // the receipt before the first; "" for the newest receipts
	JSON     string // the address of the same receipts as JSON
}

// jsonQuery is the query of the same receipts as JSON.
func jsonQuery(q map[string]string) string {
	same := url.Values{"format": {"json"}}
	for _, name := range []string{"after", "limit"} {
		if q[name] != "" {
			same.Set(name, q[name])
		}
	}
	return same.Encode()
}

// noReceipt answers 404 for an unknown ID.
func (l *Lab) noReceipt(w http.ResponseWriter, r *http.Request, id string) {
	refuse(w, r, http.StatusNotFound, "no_receipt", fmt.Sprintf(
		"there is no receipt %.40q: the ledger holds the last %d runs of this lab, see /receipts", id, l.Ledger.Size()))
}

// asPage reports whether receipts are wanted as a page: format= says so, or the
// caller is a browser.
func asPage(w http.ResponseWriter, r *http.Request, q map[string]string) (bool, error) {
	if _, given := q["format"]; !given {
		return wantsPage(w, r), nil
	}
	format, err := choice(q, "format", nil, []string{"html", "json"})
	return format == "html", err
}

// oneReceipt serves a receipt as it is now, or with wait= when it is complete, and with stack=1
// the stacks of its ops that go on. A browser gets a page, which reloads until the receipt is
// complete.
func (l *Lab) oneReceipt(w http.ResponseWriter, r *http.Request) {
	q, err := query(r.URL.RawQuery, "wait", "format", "stack")
	if err != nil {
		badParameter(w, r, err)
		return
	}
	wait, err := duration(q, "wait", 0, l.Bounds().Run)
	asPage, wrong := asPage(w, r, q)
	stack, noStack := l.wantsStacks(q)
	if err = cmp.Or(err, wrong, noStack); err != nil {
		badParameter(w, r, err)
		return
	}
	rc := l.Ledger.Get(chi.URLParam(r, "id"))
	if rc == nil {
		l.noReceipt(w, r, chi.URLParam(r, "id"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	rc.Wait(ctx)
	view := withStacks{View: l.resolved(rc)}
	if stack {
		view.Stacks = new(stacks.Of(rc.ID()))
	}
	if asPage {
		page := l.pageOf(view.View)
		page.Stacks, page.Shows = view.Stacks, !l.Public && !view.Complete
		writePage(w, http.StatusOK, "receipt.html", page)
		return
	}
	writeJSON(w, r, http.StatusOK, view)
}

// withStacks is a receipt with the stacks of its ops that go on, if they were asked for.
type withStacks struct {
	receipt.View
	Stacks *[]stacks.Stack `json:"stacks,omitzero"` // not nil where they were asked for
}

// wantsStacks reports whether stack= asks for stacks. A public lab has none: to take them stops it for a moment.
func (l *Lab) wantsStacks(q map[string]string) (bool, error) {
	value, err := choice(q, "stack", nil, []string{"0", "1"})
	if err == nil && value == "1" && l.Public {
		err = errors.New("stack=1 stops all goroutines for a moment, and this lab is public: ask a lab of your own")
	}
	return value == "1", err
}

// resolved returns a receipt after the kernel was asked how its connections ended.
func (l *Lab) resolved(rc *receipt.Receipt) receipt.View {
	if l.Kernel != nil {
		rc.Resolve(l.Kernel.Known)
	}
	return rc.View()
}

// receiptPage is the data for the template of a receipt.
type receiptPage struct {
	receipt.View
	Left     string       // the sentence of a complete receipt; "" while work goes on
	Colour   int          // the strategy's colour
	Deadline string       // where the timeout is drawn
	Bars     []receiptBar // the three times
	Calls    []receiptBar // the phases
	Facts    [][2]string  // names and values of the table
	Shows    bool         // the page may show the stacks of what goes on
	Stacks   *[]stacks.Stack
	Again    string // the path that runs the same again
	Docs     string // the page that explains the code of the error, "" without one
}

// receiptBar is a bar from X, in percent of the width.
type receiptBar struct {
	Name, Class, X, Width, Text string
	For                         string // what a phase is for
}

func (l *Lab) pageOf(v receipt.View) receiptPage {
	timeout := millisecondsIn(v.Timeout)
	pg := receiptPage{View: v, Again: samePath(v), Facts: factRows(v)}
	if v.Error != nil {
		pg.Docs = docsOf(v.Error.Code)
	}
	if v.Complete {
		pg.Left = sentence(v, l.opNamed(v.Slow))
	}
	pg.Colour = max(0, slices.IndexFunc(l.Strategies, func(s strategies.Strategy) bool { return s.Name == v.Name })) % palette.Strategies
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
			b.Text = "unknown"
		}
		pg.Bars = append(pg.Bars, b)
	}
	purposes := purposes(v, l.opNamed(v.Slow).Own != nil)
	for i, ph := range v.Phases {
		b := receiptBar{Name: ph.Name, For: purposes[i], Class: "phase", X: percent(*ph.At, scale), Width: percent(scale-*ph.At, scale), Text: "goes on"}
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

// scaleOf returns the time of the full width, in milliseconds.
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

// factRows returns the table of the page: the parameters of the run, and the goroutines and
// connections that it left behind.
func factRows(v receipt.View) (all [][2]string) {
	add := func(name, value string) {
		if value != "" {
			all = append(all, [2]string{name, value})
		}
	}
	add("op", v.Slow)
	add("ctx", v.Ctx)
	add("work", v.Work)
	add("backend", v.Backend)
	add("target", v.Target)
	for _, name := range slices.Sorted(maps.Keys(v.Params)) {
		add(name, v.Params[name])
	}
	add("delay", v.Delay)
	add("timeout", v.Timeout)
	for _, name := range slices.Sorted(maps.Keys(v.Timeouts)) {
		add(name, v.Timeouts[name])
	}
	if path, ok := v.Network.(*badnet.Path); ok {
		add("network", pathText(path))
	}
	if v.Prepared != nil {
		add("prepared before the start", spoken(*v.Prepared))
	}
	add("started", v.Started)
	for _, of := range []struct {
		name string
		ms   *float64
	}{{"overshoot", v.Overshoot}, {"straggle", v.Straggle}, {"waste", v.Waste}} {
		if of.ms != nil {
			add(of.name, spoken(*of.ms))
		}
	}
	add("goroutines left", strconv.Itoa(v.Goroutines))
	c := v.Connections
	add("connections", fmt.Sprintf("%d dialed, %d reused, %d kept, %d closed", c.Dialed, c.Reused, c.Kept, c.Closed))
	if c.Closed > 0 {
		add("closed by", fmt.Sprintf("%d FIN by us, %d FIN by the peer, %d RST, %d unknown", c.FINByUs, c.FINByPeer, c.RST, c.Unknown))
	}
	add("remedy", v.Remedy)
	return all
}

// samePath returns the path and query of the same run.
func samePath(v receipt.View) string {
	q := url.Values{"op": {v.Slow}, "ctx": {v.Ctx}, "delay": {v.Delay}, "timeout": {v.Timeout}}
	for name, value := range map[string]string{"work": v.Work, "backend": v.Backend, "target": v.Target} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for _, more := range []map[string]string{v.Params, v.Timeouts} {
		for name, value := range more {
			q.Set(name, value)
		}
	}
	return "/" + v.Name + "?" + q.Encode()
}
