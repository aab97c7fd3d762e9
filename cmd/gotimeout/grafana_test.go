package main

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dashboard is what is read of scripts/grafana.json.
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

// chosen is the one that the dashboard's reader chooses.
var chosen = source{"prometheus", "${datasource}"}

// words are PromQL's that the dashboard uses; every other name is a metric's or
// a label's.
var words = []string{"sum", "by", "rate", "histogram_quantile"}

var (
	quoted   = regexp.MustCompile(`"[^"]*"`)
	window   = regexp.MustCompile(`\[[^]]*\]`)
	matchers = regexp.MustCompile(`(\w+)\{([^}]*)\}`)
	groups   = regexp.MustCompile(`by \(([^)]*)\)`)
	names    = regexp.MustCompile(`[a-zA-Z_]\w*`)
	values   = regexp.MustCompile(`\{\{(\w+)\}\}`)
	variable = regexp.MustCompile(`\$\w+`)
	label    = regexp.MustCompile(`(\w+)="`)
	selected = regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`)
)

// asked returns the metrics of a query, and the labels it needs them to have.
func asked(query string) (metrics, labels []string) {
	query = quoted.ReplaceAllString(window.ReplaceAllString(query, ""), "")
	for _, m := range matchers.FindAllStringSubmatch(query, -1) {
		labels = append(labels, names.FindAllString(m[2], -1)...)
	}
	query = matchers.ReplaceAllString(query, "$1")
	for _, g := range groups.FindAllStringSubmatch(query, -1) {
		labels = append(labels, names.FindAllString(g[1], -1)...)
	}
	query = groups.ReplaceAllString(query, "")
	for _, name := range names.FindAllString(query, -1) {
		if !slices.Contains(words, name) {
			metrics = append(metrics, name)
		}
	}
	return metrics, labels
}

// labels returns those of a metric's series, or nil where there is no such
// metric. Prometheus adds two of its own.
func (s scrape) labels(metric string) map[string]bool {
	for series := range s {
		name, rest, _ := strings.Cut(series, "{")
		if name != metric {
			continue
		}
		all := map[string]bool{"instance": true, "job": true}
		for _, pair := range label.FindAllStringSubmatch(rest, -1) {
			all[pair[1]] = true
		}
		return all
	}
	return nil
}

// missing says what of a query a scrape has not.
func (s scrape) missing(query, legend string) (missing []string) {
	metrics, labels := asked(query)
	if len(metrics) == 0 {
		return []string{"any metric"}
	}
	for _, v := range values.FindAllStringSubmatch(legend, -1) {
		if !slices.Contains(labels, v[1]) {
			missing = append(missing, "label "+v[1]+" in its result")
		}
	}
	for _, metric := range metrics {
		has := s.labels(metric)
		if has == nil {
			missing = append(missing, metric)
		}
		for _, name := range labels {
			if has != nil && !has[name] {
				missing = append(missing, metric+"{"+name+"}")
			}
		}
	}
	return missing
}

// Every query of the dashboard is of metrics and labels that a lab has, and all
// that a lab measures is on it.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	p := start(t)
	p.complete(t, "/context-cancel?op=http&delay=200ms&timeout=50ms")
	p.complete(t, "/goroutine-abandon?op=db&delay=200ms&timeout=50ms")
	now := p.scrape(t)
	if now.labels("gotimeout_connections") == nil {
		now[`gotimeout_connections{backend="",state=""}`] = 0 // where the system doesn't tell
	}
	used := map[string]bool{}
	for _, panel := range d.Panels {
		panel.check(t, now, used)
	}
	variables := map[string]bool{"$__rate_interval": true} // Grafana's own
	for _, v := range d.Templating.List {
		variables["$"+v.Name] = true
		m := selected.FindStringSubmatch(v.Definition)
		if v.Type == "query" && (m == nil || !now.labels(m[1])[m[2]] || v.Datasource != chosen) {
			t.Errorf("the variable %s is of %q, which a scrape has not", v.Name, v.Definition)
		}
	}
	for name := range used {
		if strings.HasPrefix(name, "$") && !variables[name] {
			t.Errorf("a query uses %s, which is no variable", name)
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
			t.Errorf("%s: its id is another's too", panel.Title)
		}
		ids[panel.ID] = true
	}
	return d
}

// check holds the panel against a scrape, and adds the metrics and variables
// that it uses.
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

// partOf tells whether another series of the same histogram is used.
func partOf(name string, used map[string]bool) bool {
	base := name[:strings.LastIndex(name, "_")]
	return used[base+"_bucket"] || used[base+"_sum"]
}

// A query of what is not there is found out.
func TestDashboardFindsWhatIsMissing(t *testing.T) {
	s := scrape{`a_total{x="1"}`: 1, `b_bucket{x="1",le="2"}`: 1, "c": 1}
	for query, want := range map[string]string{
		`sum by (x) (rate(a_total{x=~"$x"}[5m]))`:                             "",
		`histogram_quantile(0.9, sum by (le, x) (rate(b_bucket{x="y"}[1m])))`: "",
		`sum(c) / sum(a_total)`:                                               "",
		`sum(d)`:                                                              "d",
		`sum by (y) (a_total)`:                                                "a_total{y}",
		`a_total{x="1", z!="2"}`:                                              "a_total{z}",
		`sum(c) / sum(rate(d[$__m]))`:                                         "d",
		`1 + 1`:                                                               "any metric",
	} {
		if got := strings.Join(s.missing(query, ""), " "); got != want {
			t.Errorf("%s: missing %q, want %q", query, got, want)
		}
	}
	if got := s.missing("sum(a_total)", "{{x}}"); len(got) != 1 {
		t.Errorf("a label that sum takes away is not missed: %q", got)
	}
}
