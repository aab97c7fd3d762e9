//go:build linux

package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"gotimeout/internal/explain"
)

// The command that explain gives for a message prints a text in which explain finds the message.
func TestExplainMakes(t *testing.T) {
	t.Parallel()
	lab := start(t)
	s := &session{lab: func() program { return lab }}
	for _, m := range explain.Messages() {
		if m.Make == "" {
			continue
		}
		t.Run(m.Texts[0], func(t *testing.T) {
			replays := strings.Contains(m.Make, "replay")
			if replays && os.Getenv("GOTIMEOUT_SLOW") == "" {
				t.Skip("GOTIMEOUT_SLOW=1 runs the replays, which take seconds")
			}
			printed := strings.Join(s.run(t, []string{"$ " + m.Make})[1:], "\n")
			if strings.Contains(printed, `"cannot run here"`) {
				t.Skip(printed)
			}
			found := explain.Find(strings.ReplaceAll(printed, `\"`, `"`)) // JSON escapes quotes
			if !slices.ContainsFunc(found, func(f explain.Message) bool { return f.Texts[0] == m.Texts[0] }) {
				t.Errorf("%s printed no %q:\n%s", m.Make, m.Texts[0], printed)
			}
		})
	}
}
