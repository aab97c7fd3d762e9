package report_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"gotimeout/internal/report"
	"gotimeout/internal/results"
)

// pageOf returns the page of a comparison, and writes it to the test's artifacts.
func pageOf(t *testing.T, r *results.Results) (text string, root *html.Node) {
	t.Helper()
	var b bytes.Buffer
	if err := report.HTML(&b, r); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), "page.html"), b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), root
}

// all returns the elements of a name.
func all(root *html.Node, name string) (nodes []*html.Node) {
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data == name {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// textOf returns the text of an element, without line breaks.
func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func byID(t *testing.T, root *html.Node) map[string]*html.Node {
	t.Helper()
	ids := map[string]*html.Node{}
	for n := range root.Descendants() {
		if id := attribute(n, "id"); id != "" {
			if ids[id] != nil {
				t.Errorf("the id %q is there twice", id)
			}
			ids[id] = n
		}
	}
	return ids
}

func sentences(t *testing.T, root *html.Node) []*html.Node {
	t.Helper()
	if list := byID(t, root)["sentences"]; list != nil {
		return all(list, "li")
	}
	return nil
}

// verdicts returns the verdicts of a page.
func verdicts(t *testing.T, root *html.Node) []string {
	t.Helper()
	if list := byID(t, root)["verdict"]; list != nil {
		return textsOf(all(list, "li"))
	}
	return nil
}

// faulty is the usual comparison with a flaw in two cells.
func faulty(t *testing.T) *results.Results {
	m := usual()
	m.fault = map[string]flaw{"io-timeout/db": {wrong: 3, goroutines: 12, timeWait: 90}, "timer-panic/cache": {probeFailures: 4, connections: 5}}
	return m.results(t)
}

func TestPageIsWhole(t *testing.T) {
	text, root := pageOf(t, faulty(t))
	if most := 300_000; len(text) > most {
		t.Errorf("the page has %d bytes, more than %d", len(text), most)
	}
	if strings.Contains(text, "ZgotmplZ") {
		t.Error("html/template found a value unsafe")
	}
	ids := byID(t, root)
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if slices.Contains([]string{"link", "img", "iframe", "object", "base"}, n.Data) || attribute(n, "src") != "" {
			t.Errorf("<%s> loads something", n.Data)
		}
		if to := attribute(n, "href"); to != "" && (to[0] != '#' || ids[to[1:]] == nil) {
			t.Errorf("%q leads nowhere", to)
		}
		for _, of := range strings.Fields(attribute(n, "aria-labelledby")) {
			if ids[of] == nil {
				t.Errorf("<%s> is labelled by %q, and no element has that id", n.Data, of)
			}
		}
	}
	for _, outside := range []string{"@import", "url(", "fetch("} {
		if strings.Contains(text, outside) {
			t.Errorf("the page has %s", outside)
		}
	}
}

// In print each figure of the tables of all figures has its name beside it. Other tables have
// no such names.
func TestPrinted(t *testing.T) {
	text, _ := pageOf(t, faulty(t))
	for place, column := range results.Columns() {
		want := fmt.Sprintf(`.figures td:nth-child(%d)::before{content:"%s: "}`, place+2, strings.TrimSpace(column.Title+" "+column.Unit))
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(text, "}td:nth-child") {
		t.Error("the figures of other tables have names too")
	}
}

// The tables have a row for each strategy and for the floor, and a cell for each column. An
// unknown figure is marked as unknown.
func TestTables(t *testing.T) {
	_, root := pageOf(t, faulty(t))
	tables := slices.DeleteFunc(all(root, "table"), func(n *html.Node) bool { return attribute(n, "class") != "figures" })
	if len(tables) != 3 {
		t.Fatalf("%d tables", len(tables))
	}
	for _, table := range tables {
		rows := all(table, "tr")
		if len(rows) != 8 || attribute(rows[7], "id") == "" || rows[7].Parent.Data != "tfoot" {
			t.Errorf("%d rows", len(rows))
		}
		for _, row := range rows[1:] {
			if n := len(all(row, "td")); n != len(results.Columns()) || attribute(row, "id") == "" {
				t.Errorf("%s has %d cells, id %q", textOf(row), n, attribute(row, "id"))
			}
		}
	}
	cell := all(byID(t, root)["g1-r1"], "td")[results.OvershootP99]
	if textOf(cell) != "–" || attribute(cell, "title") != "there is no such figure" {
		t.Errorf("the overshoot of the baseline is %q, %q", textOf(cell), attribute(cell, "title"))
	}
	cell = all(byID(t, root)["g3-r6"], "td")[results.GoroutinesLeft]
	if textOf(cell) != "12" || attribute(cell, "data-v") != "12" {
		t.Errorf("goroutines left are %q, %q", textOf(cell), attribute(cell, "data-v"))
	}
}

// The time of a call alone is measured with calls that end in time.
func TestAlone(t *testing.T) {
	text, _ := pageOf(t, usual().results(t))
	if want := "Timeout 250ms; calls of 10ms (alone 10.4 ms), 1s."; !strings.Contains(text, want) {
		t.Errorf("no %q", want)
	}
}

// The page escapes the names from a file.
func TestHostileNames(t *testing.T) {
	m := usual()
	hostile := `</title><script>alert("1")</script>'&` + "\x00\x1b\ufffe" + strings.Repeat("long", 40)
	m.strategies = []string{"baseline", hostile, "goroutine-abandon"}
	m.ops = []string{hostile}
	m.fault = map[string]flaw{hostile + "/" + hostile: {wrong: 1, error: hostile}}
	r := m.results(t)
	r.Run.Command = hostile
	_, root := pageOf(t, r)
	if n := len(all(root, "script")); n != 1 {
		t.Errorf("%d scripts", n)
	}
	if len(sentences(t, root)) == 0 {
		t.Error("there is no sentence on the page")
	}
	wellFormed(t, r)
}

// A comparison with missing figures still makes a page.
func TestSparse(t *testing.T) {
	one := usual()
	one.strategies, one.ops = []string{"context-cancel"}, []string{"db"}
	broken := one
	broken.calls, broken.fault = 0, map[string]flaw{"context-cancel/db": {error: "the lab is gone"}}
	odd := results.Row{Key: results.Key{Strategy: "x"}, Answered: []float64{-1, 0, 1e300}, Repeats: make([]results.Figures, 1)}
	odd.Slow.Answered = new(float64)
	for name, test := range map[string]struct {
		of   *results.Results
		want string
	}{
		"nothing":          {&results.Results{}, "before a row of a strategy had ended"},
		"one row":          {one.results(t), "context-cancel"},
		"no figures":       {broken.results(t), "the lab is gone"},
		"a row of no cell": {&results.Results{Rows: []*results.Row{&odd}}, "Nothing stands out"},
	} {
		t.Run(name, func(t *testing.T) {
			text, _ := pageOf(t, test.of)
			if !strings.Contains(text, test.want) {
				t.Errorf("no %q", test.want)
			}
			wellFormed(t, test.of)
		})
	}
}

func TestWriterFails(t *testing.T) {
	if err := report.HTML(full{}, &results.Results{}); !errors.Is(err, errFull) {
		t.Error(err)
	}
}
