package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// keywords are the words of PromQL in the dashboard. Every other name is a metric or a
// label.
var keywords = []string{"sum", "by", "rate", "histogram_quantile"}

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

// asked returns the metrics of a query, and the labels that the query uses.
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
		if !slices.Contains(keywords, name) {
			metrics = append(metrics, name)
		}
	}
	return metrics, labels
}

// labels returns the labels of a metric's series, or nil for an unknown metric. Prometheus
// adds two labels of its own.
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

// missing returns the metrics and labels of a query that the scrape lacks.
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

// The check of the dashboard finds a query of a metric or a label that no scrape has.
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
		t.Errorf("the check misses a label that sum removes: %q", got)
	}
}
