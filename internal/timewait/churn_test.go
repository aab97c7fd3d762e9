//go:build linux

package timewait

import (
	"strings"
	"testing"

	"gotimeout/strategies"
)

func TestChurn(t *testing.T) {
	rows := map[string]Step{}
	for _, s := range made(t, "churn") {
		rows[s.Did] = s
	}
	for _, s := range strategies.All() {
		if _, ok := rows["strategy "+s.Name]; !ok {
			t.Errorf("%s was not tried", s.Name)
		}
	}
	if got := len(rows) - len(strategies.All()); got != 6 {
		t.Errorf("%d ways of a plain client, want 6", got)
	}
	if *rows["2 idle connections, the default"].Opened <= *rows["enough idle connections"].Opened {
		t.Error("2 idle connections were enough")
	}
}

// Each promise holds for what it is meant for, and not for what another leaves.
func TestPromises(t *testing.T) {
	ld := load{requests: 200, workers: 10}
	for name, c := range map[string]struct {
		way  way
		good spent
		bad  map[string]spent
	}{
		"waits": {way{promise: waits}, spent{ld, 200, 5, 195, 0, 0, 10}, map[string]spent{
			"reused": {ld, 10, 0, 0, 0, 0, 10}, "resets": {ld, 200, 0, 0, 200, 0, 10}}},
		"churns": {way{promise: churns}, spent{ld, 160, 158, 0, 0, 0, 10}, map[string]spent{
			"reused": {ld, 10, 0, 0, 0, 0, 10}, "the server closes": {ld, 160, 0, 158, 0, 0, 10}}},
		"resets": {way{promise: resets}, spent{ld, 200, 0, 0, 206, 0, 10}, map[string]spent{
			"waits": {ld, 200, 200, 0, 0, 0, 10}, "reused": {ld, 10, 0, 0, 0, 0, 10}}},
		"reused": {way{promise: reused}, spent{ld, 11, 0, 0, 0, 0, 10}, map[string]spent{
			"churns": {ld, 160, 158, 0, 0, 0, 10}, "a reset": {ld, 10, 0, 0, 1, 0, 10}}},
		"calls cut": {way{promise: byCalls}, spent{ld, 200, 3, 0, 197, 200, 10}, map[string]spent{
			"TIME-WAITs": {ld, 200, 197, 0, 3, 200, 10}, "as if uncut": {ld, 10, 0, 0, 0, 200, 10}}},
		"none cut": {way{promise: byCalls}, spent{ld, 40, 0, 0, 0, 0, 30}, map[string]spent{
			"as if cut": {ld, 200, 0, 0, 200, 0, 10}}},
	} {
		t.Run(name, func(t *testing.T) {
			if s := step(c.way, c.good); !s.OK {
				t.Errorf("%s breaks %q", s.Saw, s.Expected)
			}
			for what, sp := range c.bad {
				if s := step(c.way, sp); s.OK {
					t.Errorf("%s: %s keeps %q", what, s.Saw, s.Expected)
				} else if strings.TrimSpace(s.Expected) == "" {
					t.Error("nothing was expected")
				}
			}
		})
	}
}
