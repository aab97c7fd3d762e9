package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"gotimeout/strategies"
)

// The README says of each strategy what the page and the help say.
func TestReadmeNamesEachStrategy(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range strategies.All() {
		if row := fmt.Sprintf("| `%s` | %s | %s |", s.Name, s.Family, s.Doc); !strings.Contains(string(text), row) {
			t.Errorf("README.md lacks the row %s", row)
		}
	}
}

// The README says how many runs a client of a public lab has.
func TestReadmeNamesTheShare(t *testing.T) {
	text := rootFile(t, "README.md")
	if want := fmt.Sprintf("| %d runs a minute |", 200*len(strategies.All())); !strings.Contains(text, want) {
		t.Errorf("README.md lacks %q", want)
	}
}
