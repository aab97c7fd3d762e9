package main

import (
	"compress/gzip"
	"os"
	"strings"
	"testing"

	"gotimeout/internal/report"
	"gotimeout/internal/results"
)

// The README's table and pictures are those of the data beside them, which
// make results makes anew.
func TestReadmeResults(t *testing.T) {
	file, err := os.Open("testdata/results.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	raw, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := results.Read(raw)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if err := report.Table(&table, r, 80); err != nil {
		t.Fatal(err)
	}
	inReadme(t, "results", "```\n"+table.String()+"```\n")
	for _, g := range r.Groups() {
		goldenOf(t, "results-"+g.Op+".svg", report.Lanes(g))
	}
}

// inReadme compares what stands in the README between two comments of a name.
func inReadme(t *testing.T, name, want string) {
	t.Helper()
	const path = "../../README.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->\n"
	before, rest, found := strings.Cut(string(text), begin)
	got, after, closed := strings.Cut(rest, end)
	switch {
	case !found || !closed:
		t.Fatalf("README.md has no %q with %q after it", begin, end)
	case *update:
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	case got != want:
		t.Errorf("README.md differs from its data (make results writes both):\n%s\nwant\n%s", got, want)
	}
}
