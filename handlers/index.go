package handlers

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/prose"
	"gotimeout/strategies"
)

// index serves the page to a browser, and to others what fits a terminal.
func (l *Lab) index(w http.ResponseWriter, r *http.Request) {
	if wantsPage(w, r) {
		writePage(w, http.StatusOK, "page.html", l.newIndexView(r))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	writeIndex(w, l, base(r))
}

// indexView is what the template of the page reads.
type indexView struct {
	*Lab
	Asked  map[string]string // the form's fields
	Choice []fieldView       // those that not every op has
	Start  raceStart         // the race of the form
	Link   string            // to it
	Moment moment
	State  *badnet.State
	MayNot string // why this visitor may not change the network, "" where it may
}

func (l *Lab) newIndexView(r *http.Request) indexView {
	asked, p := l.asked(r.URL.Query())
	v := indexView{
		Lab:   l,
		Asked: asked, Choice: choices(asked, p.op),
		Start: l.startOf(r, p, 1), Link: base(r) + "/?" + p.query() + "&race=1",
		Moment: l.moment(), State: l.state(),
	}
	if err := l.mayChange(r); l.Network == nil {
		v.MayNot = badnet.ErrNone.Error()
	} else if err != nil {
		v.MayNot = err.Error()
	}
	return v
}

// The race that a visitor sees first, on the op that is First.
const (
	firstDelay   = 2 * time.Second
	firstTimeout = 500 * time.Millisecond
)

// asked returns the form as the address fills it, and its run. What the lab
// would refuse stays in the form, for the visitor to see.
func (l *Lab) asked(address url.Values) (form map[string]string, p params) {
	form = map[string]string{
		"op": l.Ops[0].Name, "ctx": "aware",
		"delay":   min(firstDelay, l.MaxDelay).String(),
		"timeout": min(firstTimeout, l.MaxTimeout).String(),
	}
	if i := slices.IndexFunc(l.Ops, func(op Op) bool { return op.First }); i >= 0 {
		form["op"] = l.Ops[i].Name
	}
	for _, name := range []string{"op", "delay", "timeout", "ctx", "work", "backend", "target", "network"} {
		if value := address.Get(name); value != "" {
			form[name] = value
		}
	}
	run := map[string]string{}
	for name, value := range form {
		if name != "network" {
			run[name] = value
		}
	}
	if op, err := l.op(run); err == nil && op.NoDelay != "" {
		delete(run, "delay")
	}
	p, err := l.params(run)
	if err != nil {
		p, _ = l.params(nil) // the lab's defaults are never wrong
	}
	return form, p
}

// fieldView is a field of the form that not every op has.
type fieldView struct {
	Name, Doc, Asked string
	Values           []string // nil where this op has no choice
}

func choices(asked map[string]string, op Op) []fieldView {
	fields := []fieldView{
		{"work", "what the database does", asked["work"], op.Works},
		{"backend", "it stops when its client leaves, or not", asked["backend"], op.Backends},
		{"target", "a faulty server in the backend's place", asked["target"], op.targetNames()},
	}
	for i := range fields {
		if len(fields[i].Values) < 2 {
			fields[i].Values = nil
		}
	}
	return fields
}

// Count is a number of things, of which nobody may know.
func (indexView) Count(n *int) any {
	if n == nil {
		return "?"
	}
	return *n
}

// Presets are the networks that there is a name for.
func (indexView) Presets() []badnet.Preset { return badnet.Presets() }

// Preset is the name of the network, "" where it has none.
func (v indexView) Preset() string {
	for _, preset := range badnet.Presets() {
		if preset.Profile.String() == v.State.Profile {
			return preset.Name
		}
	}
	return ""
}

// Delays says that an op can be slow.
func (op Op) Delays() bool { return op.NoDelay == "" }

// Choices are the parameters of an op beyond those that all have.
func (op Op) Choices() string {
	var choices []string
	for _, c := range []struct {
		name   string
		values []string
	}{{"work", op.Works}, {"backend", op.Backends}, {"target", op.targetNames()}} {
		if len(c.values) > 0 {
			choices = append(choices, c.name+"="+strings.Join(c.values, "|"))
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

// bounds are those of the page's calls of targets: each can be told from the
// others by when it comes.
var bounds = struct{ Connect, TLS, Header, Read, Total time.Duration }{
	200 * time.Millisecond, 300 * time.Millisecond, 400 * time.Millisecond, 500 * time.Millisecond, time.Second,
}

// Bounds are those of the targets' calls.
func (indexView) Bounds() any { return bounds }

// ClientStrategy names the first strategy that bounds the client, "" without one.
func (v indexView) ClientStrategy() string {
	i := slices.IndexFunc(v.Strategies, func(s strategies.Strategy) bool { return s.Client != nil })
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

// TargetPath asks a target under every bound that it can have. The one that is
// well answers at once, the others take longer than all bounds.
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

// PhaseNames are those of an HTTP call, in their order.
func (indexView) PhaseNames() []string {
	return []string{"dns", "connect", "tls", "request", "first_byte", "headers", "body"}
}

// writeIndex writes what there is, for a terminal of 80 columns.
func writeIndex(w io.Writer, l *Lab, base string) {
	fmt.Fprint(w, wrapped("goTimeout: the same slow call behind each way that Go offers to time out: when its caller was answered, when it ended, and who worked on for nobody."), "\n")
	first, _ := l.asked(nil)
	fmt.Fprint(w, "To begin with, what waits however long it takes, and then all at once:\n\n")
	for _, path := range []string{"/" + l.Strategies[0].Name, fmt.Sprintf("/compare?op=%s&delay=%s&timeout=%s", first["op"], first["delay"], first["timeout"])} {
		fmt.Fprintf(w, "  curl %s\n", quoted(base+path))
	}
	fmt.Fprint(w, "\nStrategies:\n")
	for _, s := range l.Strategies {
		fmt.Fprintf(w, "\n/%s\n%s", s.Name, wrapped(s.Doc))
	}
	fmt.Fprint(w, "\nWhat each can be asked for, as in ?op=db&ctx=deaf:\n\n")
	for _, op := range l.Ops {
		fmt.Fprint(w, wrapped(strings.TrimSpace("op="+op.Name+" "+op.Doc+" "+op.Choices())))
	}
	fmt.Fprint(w, wrapped(fmt.Sprintf("delay= how long the call takes, at most %s; timeout= the bound, at most %s; both as 250ms, 1.5s or plain seconds; ctx=aware|deaf it heeds a cancel, or not", l.MaxDelay, l.MaxTimeout)))
	if between := described(l.pathOf(l.Ops[0])); between != "" {
		fmt.Fprint(w, "\nThe network to the backends:\n\n", wrapped(between))
	}
	fmt.Fprint(w, "\n", wrapped("Also there: /compare, /race, /receipts, /events, /network, /backends, /sockets and /lab. In a browser this address is a page."))
}

// columns is the width of what is written for a terminal.
const columns = 80

func wrapped(text string) string { return prose.Wrap(text, columns) }
