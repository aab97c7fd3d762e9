package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"gotimeout/internal/machine"
	"gotimeout/internal/results"
)

// ask says in one line what was asked for.
func (p *page) ask(r *results.Results) {
	var names, ops, ctxs, networks, timeouts, delays []string
	add := func(to *[]string, s string) {
		if s != "" && !slices.Contains(*to, s) {
			*to = append(*to, s)
		}
	}
	for _, g := range p.groups {
		add(&ops, g.Op)
		add(&ctxs, g.Ctx)
		add(&networks, g.Network)
		add(&timeouts, setting(g.Timeout))
		for _, row := range g.Rows {
			add(&names, row.Strategy)
			add(&delays, settings(row.Delays))
		}
	}
	if len(p.groups) == 0 {
		p.Title, p.Asked = "Timeouts compared", nothingToShow
		return
	}
	list := func(s []string) string { return strings.Join(s, ", ") }
	p.Title = "Timeouts compared: " + list(ops)
	p.Asked = fmt.Sprintf("%s on %s (%s), network %s, under a timeout of %s; calls of %s in turn, %s requests a second for %s",
		plural(float64(len(names)), "strategy"), list(ops), list(ctxs), list(networks), list(timeouts),
		strings.Join(delays, "; or "), digits(r.Run.Rate), setting(r.Run.Duration))
	if r.Run.Repeat > 1 {
		p.Asked += fmt.Sprintf(", %d times", r.Run.Repeat)
	}
	if !r.Run.Started.IsZero() {
		p.Asked += ". " + r.Run.Started.UTC().Format("2 January 2006, 15:04 ") + time.UTC.String()
	}
	p.Asked += "."
}

// pageMachine is what one of the two ran on.
type pageMachine struct {
	Role  string
	Facts []fact
}

type fact struct{ Name, Value string }

// modules are those that decide what is measured.
var modules = []string{
	"github.com/go-chi/chi/v5", "github.com/bradfitz/gomemcache", "github.com/go-sql-driver/mysql",
	"github.com/mccutchen/go-httpbin/v2", "golang.org/x/sync", "github.com/tsenart/vegeta/v12",
}

// machines are the lab's and the load's, once where they don't differ.
func machines(run *results.Run) []pageMachine {
	lab, load := machineOf("The lab's machine", run.Lab), machineOf("The load's machine", run.Machine)
	if slices.Equal(lab.Facts, load.Facts) {
		lab.Role = "The machine of the lab and the load"
		return []pageMachine{lab}
	}
	return []pageMachine{lab, load}
}

func machineOf(role string, m machine.Machine) pageMachine {
	of := pageMachine{Role: role}
	add := func(name, value string) { of.Facts = append(of.Facts, fact{name, cmp.Or(value, "?")}) }
	add("system", m.OS)
	add("kernel", m.Kernel)
	add("CPU", m.CPU)
	add("processors", map[bool]string{true: digits(float64(m.Processors))}[m.Processors > 0])
	add("Go", m.Go)
	add("gotimeout", m.Version)
	for _, path := range modules {
		if version := m.Modules[path]; version != "" {
			add(strings.TrimPrefix(path, "github.com/"), version)
		}
	}
	return of
}

// network is a profile and what was measured of it.
type network struct{ Name, Driver, RoundTrip string }

func networks(rows []*results.Row) (all []network) {
	for _, r := range rows {
		n := network{cmp.Or(r.Network, "none"), cmp.Or(r.Driver, "none"), "?"}
		if n.Name == "none" {
			n.RoundTrip = "nothing lies between"
		}
		if r.RoundTrip != nil {
			n.RoundTrip = millis(*r.RoundTrip)
		}
		if !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}
