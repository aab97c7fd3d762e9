package handlers

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gotimeout/internal/badnet"
)

// indexView is what the template of the page reads.
type indexView struct {
	*Lab
	Style  template.CSS
	Script template.JS
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
		Lab: l, Style: template.CSS(indexStyle), Script: template.JS(indexScript),
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

// Figure is a time in milliseconds. One that isn't known may still come where
// its run goes on.
func (indexView) Figure(ms *float64, over bool) string {
	if ms == nil && !over {
		return "…"
	}
	return figure(ms, "?")
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
