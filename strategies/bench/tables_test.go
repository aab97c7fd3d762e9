package main

import "testing"

func TestEstimate(t *testing.T) {
	for name, c := range map[string]struct {
		values  []float64
		text    string
		atMost2 judgement
		atLeast judgement
	}{
		"few":        {[]float64{1, 2, 3, 2.5, 2.4}, "2.4 (?)", undecided, met},
		"below":      {[]float64{1, 1, 1.5, 1, 1, 1}, "1.0 (1.0 to 1.5)", met, missed},
		"above":      {[]float64{3, 4, 3, 3, 3, 3}, "3.0 (3.0 to 4.0)", missed, met},
		"just above": {[]float64{1, 3, 3, 3, 3, 3}, "3.0 (1.0 to 3.0)", undecided, met},
		"just below": {[]float64{1, 1, 1, 3, 1, 1}, "1.0 (1.0 to 3.0)", met, undecided},
	} {
		e := estimateOf(c.values)
		if e.text("%.1f") != c.text || e.atMost(2) != c.atMost2 || e.atLeast(2) != c.atLeast {
			t.Errorf("%s: %s, at most 2 %s, at least 2 %s; want %s, %s, %s", name, e.text("%.1f"), e.atMost(2), e.atLeast(2), c.text, c.atMost2, c.atLeast)
		}
	}
}
