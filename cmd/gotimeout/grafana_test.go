package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// dashboard has the parts of scripts/grafana.json that the test reads.
type dashboard struct {
	Panels     []panel
	Templating struct {
		List []struct {
			Name, Type, Definition string
			Datasource             source
		}
	}
}

type panel struct {
	ID          int
	Type, Title string
	Datasource  source
	Targets     []struct {
		Expr, LegendFormat string
		Datasource         source
	}
}

type source struct{ Type, UID string }

// chosen is the data source that the reader of the dashboard chooses.
var chosen = source{"prometheus", "${datasource}"}

// Every query of the dashboard uses metrics and labels that a lab has, and the dashboard
// shows every metric of a lab.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	p := start(t)
	p.complete(t, "/context-cancel?op=http&delay=200ms&timeout=50ms")
	p.complete(t, "/goroutine-abandon?op=db&delay=200ms&timeout=50ms")
	now := p.scrape(t)
	if now.labels("gotimeout_connections") == nil {
		now[`gotimeout_connections{backend="",state=""}`] = 0 // a system that can't list connections has none
	}
	used := map[string]bool{}
	for _, panel := range d.Panels {
		panel.check(t, now, used)
	}
	variables := map[string]bool{"$__rate_interval": true} // a variable of Grafana
	for _, v := range d.Templating.List {
		variables["$"+v.Name] = true
		m := selected.FindStringSubmatch(v.Definition)
		if v.Type == "query" && (m == nil || !now.labels(m[1])[m[2]] || v.Datasource != chosen) {
			t.Errorf("the variable %s is of %q, which a scrape lacks", v.Name, v.Definition)
		}
	}
	for name := range used {
		if strings.HasPrefix(name, "$") && !variables[name] {
			t.Errorf("a query uses %s, which is not defined as a variable", name)
		}
	}
	for series := range now {
		name, _, _ := strings.Cut(series, "{")
		if strings.HasPrefix(name, "gotimeout_") && name != "gotimeout_build_info" && !used[name] && !partOf(name, used) {
			t.Errorf("the dashboard doesn't show %s", name)
		}
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile("../../scripts/grafana.json")
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	for _, panel := range d.Panels {
		if ids[panel.ID] {
			t.Errorf("%s: another panel has the same id", panel.Title)
		}
		ids[panel.ID] = true
	}
	return d
}

// check compares the panel with a scrape, and adds the metrics and variables that the
// panel uses to used.
func (p panel) check(t *testing.T, now scrape, used map[string]bool) {
	if p.Type != "row" && (len(p.Targets) == 0 || p.Datasource != chosen) {
		t.Errorf("%s: %d queries to %v, want some to %v", p.Title, len(p.Targets), p.Datasource, chosen)
	}
	for _, query := range p.Targets {
		if missing := now.missing(query.Expr, query.LegendFormat); len(missing) > 0 || query.Datasource != chosen {
			t.Errorf("%s: %s\nof %v: a scrape has no %s", p.Title, query.Expr, query.Datasource, strings.Join(missing, ", "))
		}
		metrics, _ := asked(query.Expr)
		for _, name := range append(metrics, variable.FindAllString(query.Expr, -1)...) {
			used[name] = true
		}
	}
}

// partOf reports whether another series of the same histogram is used.
func partOf(name string, used map[string]bool) bool {
	base := name[:strings.LastIndex(name, "_")]
	return used[base+"_bucket"] || used[base+"_sum"]
}
