package handlers

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/palette"
	"gotimeout/internal/prose"
	"gotimeout/strategies"
)

// index serves the page to a browser, and to others a text for a terminal.
func (l *Lab) index(w http.ResponseWriter, r *http.Request) {
	form, p, err := l.asked(r.URL.RawQuery)
	if err != nil {
		badParameter(w, r, err)
		return
	}
	if wantsPage(w, r) {
		writePage(w, http.StatusOK, "page.html", l.newIndexView(r, form, p))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	writeIndex(w, l, base(r))
}

// indexView is the data for the template of the page.
type indexView struct {
	*Lab
	Asked    map[string]string // the form's fields
	Choice   []choiceView      // the fields that only some ops have
	Start    raceStart         // the race of the form
	Link     string            // the link to that race
	Snapshot snapshot
	State    *badnet.State
	MayNot   string // why this visitor may not change the network; "" if it may
}

func (l *Lab) newIndexView(r *http.Request, asked map[string]string, p params) indexView {
	v := indexView{
		Lab:   l,
		Asked: asked, Choice: l.choicesOf(p.op),
		Start: l.startOf(r, p, 1), Link: base(r) + "/?" + p.query() + "&race=1",
		Snapshot: l.snapshot(), State: l.state(),
	}
	if err := l.mayChange(r); l.Network == nil {
		v.MayNot = badnet.ErrNone.Error()
	} else if err != nil {
		v.MayNot = err.Error()
	}
	return v
}

// inView is how many lanes are not folded: those of the strategy without a bound and of the
// four that the lab is about.
const inView = 5

// laneView is a lane of the race.
type laneView struct {
	strategies.Strategy
	Colour int    // of the palette
	CodeOp string // the op whose code the lane shows: that of the form, if the strategy suits it
}

// familyView are the lanes that the page folds together.
type familyView struct {
	Title string // "" for those in view
	Lanes []laneView
}

// Names lists the strategies of the lanes.
func (f familyView) Names() string {
	names := make([]string, len(f.Lanes))
	for i, lane := range f.Lanes {
		names[i] = lane.Name
	}
	return strings.Join(names, ", ")
}

// Lanes returns the lanes in view, and the others by their families.
func (v indexView) Lanes() (families []familyView) {
	shown := map[strategies.Family]bool{}
	for i, s := range v.Strategies {
		lane := laneView{s, i % palette.Strategies, v.Asked["op"]}
		if !s.Suits(lane.CodeOp) {
			lane.CodeOp = v.firstOp(s)
		}
		switch last := len(families) - 1; {
		case i == 0 || i >= inView && (i == inView || s.Family != v.Strategies[i-1].Family):
			title := ""
			if i > 0 {
				title = string(s.Family)
			}
			if shown[s.Family] {
				title = "more " + title
			}
			families = append(families, familyView{title, []laneView{lane}})
		default:
			families[last].Lanes = append(families[last].Lanes, lane)
		}
		shown[s.Family] = true
	}
	return families
}

// Times is how often the page runs each strategy where it runs them often. In a public
// lab maxTimes of each are half of a client's share of a minute.
func (v indexView) Times() int {
	if v.Public {
		return maxTimes / 10
	}
	return maxTimes
}

// Once reports whether the lab would refuse to run an op Times times.
func (v indexView) Once(op Op) bool { return v.Public && (op.Own != nil || op.MakesOwn) }

// The race that a visitor sees first, on the op that is First.
const (
	firstDelay   = 2 * time.Second
	firstTimeout = 500 * time.Millisecond
)

// formParameters returns the parameters of the form, and race=1, which starts its race.
func (l *Lab) formParameters() []string {
	all := []string{"op", "delay", "timeout", "ctx"}
	for _, c := range l.choicesOf(&Op{}) {
		all = append(all, c.Name)
	}
	return append(all, "network", "race")
}

// asked returns the form as a query fills it, and the run of the form. A duration that the
// lab would refuse stays in the form, and the race answers the visitor with the reason. An
// unknown choice has no place in the form, and is an error.
func (l *Lab) asked(raw string) (form map[string]string, p params, err error) {
	q, err := query(raw, l.formParameters()...)
	if err != nil {
		return nil, p, err
	}
	if _, err := choice(q, "race", nil, []string{"1"}); err != nil {
		return nil, p, err
	}
	form = map[string]string{
		"op": l.Ops[0].Name, "ctx": "aware",
		"delay":   min(firstDelay, l.MaxDelay).String(),
		"timeout": min(firstTimeout, l.MaxTimeout).String(),
	}
	for _, first := range []func(Op) bool{func(op Op) bool { return op.Own != nil }, func(op Op) bool { return op.First }} {
		if i := slices.IndexFunc(l.Ops, first); i >= 0 {
			form["op"] = l.Ops[i].Name
			break
		}
	}
	delete(q, "race")
	maps.Copy(form, q)
	run := maps.Clone(form)
	delete(run, "network")
	if p, err = l.choices(run); err != nil {
		return nil, p, err
	}
	if p.op.NoDelay != "" {
		delete(run, "delay")
	}
	if p, err = l.params(run); err != nil {
		p, _ = l.params(nil) // the defaults are always valid
	}
	return form, p, nil
}

// choiceView is a parameter that only some ops have, and a field of the form.
type choiceView struct {
	Name, Doc string
	Values    []string // those of the op; nil if it has none
}

// choices returns the parameters that only some ops have, and their values for this op.
func (op *Op) choices() []choiceView {
	all := []choiceView{
		{"work", "what the backend does", op.Works},
		{"backend", "it stops when its client leaves (aware), or not (deaf)", op.Backends},
		{"target", "a faulty server in the backend's place", op.targetNames()},
	}
	for _, of := range op.Params {
		all = append(all, choiceView(of))
	}
	return all
}

// choicesOf is choices with the parameters of the other ops too.
func (l *Lab) choicesOf(op *Op) []choiceView {
	all := op.choices()
	for i := range l.Ops {
		for _, c := range l.Ops[i].choices() {
			if !slices.ContainsFunc(all, func(known choiceView) bool { return known.Name == c.Name }) {
				all = append(all, choiceView{c.Name, c.Doc, nil})
			}
		}
	}
	return all
}

// Asks reports whether the form asks for the choice: the op has one.
func (c choiceView) Asks() bool { return len(c.Values) > 1 }

// Count formats a number that may be unknown.
func (indexView) Count(n *int) any {
	if n == nil {
		return "?"
	}
	return *n
}

// Presets are the named networks.
func (indexView) Presets() []badnet.Preset { return badnet.Presets() }

// Preset is the name of the network, "" if it has none.
func (v indexView) Preset() string {
	for _, preset := range badnet.Presets() {
		if preset.Profile.String() == v.State.Profile {
			return preset.Name
		}
	}
	return ""
}

// Delays reports whether a delay can be asked for.
func (op Op) Delays() bool { return op.NoDelay == "" }

// Choices lists the parameters that only some ops have, with their values.
func (op Op) Choices() string {
	var choices []string
	for _, c := range op.choices() {
		if len(c.Values) > 0 {
			choices = append(choices, c.Name+"="+strings.Join(c.Values, "|"))
		}
	}
	return strings.Join(choices, " ")
}

func (op Op) targetNames() (names []string) {
	for _, t := range op.Targets {
		names = append(names, t.Name)
	}
	return names
}

// bounds are the timeouts of the page's calls of targets. They differ, so that the time
// of an answer shows which one passed.
var bounds = struct{ Connect, TLS, Header, Read, Total time.Duration }{
	200 * time.Millisecond, 300 * time.Millisecond, 400 * time.Millisecond, 500 * time.Millisecond, time.Second,
}

// Bounds are the timeouts of the calls of targets.
func (indexView) Bounds() any { return bounds }

// ClientStrategy names the first strategy that sets the client's own timeouts, "" without one.
func (v indexView) ClientStrategy() string {
	i := slices.IndexFunc(v.Strategies, boundsIO)
	if i < 0 {
		return ""
	}
	return v.Strategies[i].Name
}

// Targets are the servers of the first op that has any, those without a fault
// first, to compare the others with.
func (v indexView) Targets() (targets []Target) {
	i := slices.IndexFunc(v.Ops, func(op Op) bool { return len(op.Targets) > 0 })
	if i < 0 || v.ClientStrategy() == "" {
		return nil
	}
	for _, sound := range []bool{true, false} {
		for _, t := range v.Ops[i].Targets {
			if t.Sound == sound {
				targets = append(targets, t)
			}
		}
	}
	return targets
}

// TargetPath is the path of a run against a target, with every timeout that it can
// have. The sound target answers at once; the others take longer than every timeout.
func (v indexView) TargetPath(t Target) string {
	delay := min(2*bounds.Total, v.MaxDelay)
	if t.Sound {
		delay = min(bounds.Connect, v.MaxDelay)
	}
	q := url.Values{"target": {t.Name}, "delay": {delay.String()}, "timeout": {bounds.Total.String()}}
	for name, bound := range map[string]time.Duration{connectTimeout: bounds.Connect, tlsTimeout: bounds.TLS, headerTimeout: bounds.Header, readTimeout: bounds.Read} {
		if name != tlsTimeout || t.TLS {
			q.Set(name, bound.String())
		}
	}
	return "/" + v.ClientStrategy() + "?" + q.Encode()
}

// PhaseNames are the phases of an HTTP call, in their order.
func (indexView) PhaseNames() []string {
	return []string{"dns", "connect", "tls", "request", "first_byte", "headers", "body"}
}

// writeIndex describes the lab for a terminal of 80 columns.
func writeIndex(w io.Writer, l *Lab, base string) {
	fmt.Fprint(w, wrapped("goTimeout: the same slow call behind each way that Go offers to time out: when its caller was answered, when the call ended, and which backend worked on for nobody."), "\n")
	first, p, _ := l.asked("") // the defaults are always valid
	fmt.Fprint(w, "Begin with the strategy that waits however long it takes, then run all at once:\n\n")
	compare := "/compare?op=" + first["op"]
	if p.op.Delays() {
		compare += "&delay=" + first["delay"]
	}
	for _, path := range []string{"/" + l.Strategies[0].Name, compare + "&timeout=" + first["timeout"]} {
		fmt.Fprintf(w, "  curl %s\n", quoted(base+path))
	}
	fmt.Fprint(w, "\nStrategies:\n")
	for _, s := range l.Strategies {
		fmt.Fprintf(w, "\n/%s\n%s", s.Name, wrapped(s.Doc))
	}
	fmt.Fprint(w, "\nParameters, as in ?op=db&ctx=deaf:\n\n")
	for _, op := range l.Ops {
		fmt.Fprint(w, wrapped(strings.TrimSpace("op="+op.Name+" "+op.About()+" "+op.Choices())))
	}
	fmt.Fprint(w, wrapped(fmt.Sprintf("delay= is how long the call takes, at most %s; timeout= is the bound, at most %s; both as 250ms, 1.5s or plain seconds; ctx=aware|deaf: the op honours its context, or ignores it", l.MaxDelay, l.MaxTimeout)))
	if between := pathText(l.pathOf(l.Ops[0])); between != "" {
		fmt.Fprint(w, "\nThe network to the backends:\n\n", wrapped(between))
	}
	fmt.Fprint(w, "\n", wrapped("Other paths: /compare, /race, /receipts, /events, /network, /backends, /sockets and /lab. A browser gets a page at this address."))
}

// columns is the width of text for a terminal.
const columns = 80

func wrapped(text string) string { return prose.Wrap(text, columns) }
