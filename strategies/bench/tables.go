package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// header begins a table, whose first column is aligned on the left.
func header(columns ...string) {
	fmt.Printf("| %s |\n|---|%s\n", strings.Join(columns, " | "), strings.Repeat("--:|", len(columns)-1))
}

func row(cells ...string) { fmt.Printf("| %s |\n", strings.Join(cells, " | ")) }

// verdict holds a figure against its bar.
func verdict(met bool) string {
	if met {
		return "met"
	}
	return "MISSED"
}

func number(v float64) string { return fmt.Sprintf("%.0f", v) }

// millis writes milliseconds.
func millis(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

func median[T cmp.Ordered](values []T) T {
	return quantile(slices.Sorted(slices.Values(values)), 0.5)
}

// quantile is that of sorted values, or zero without any.
func quantile[T cmp.Ordered](sorted []T, share float64) (q T) {
	if len(sorted) > 0 {
		q = sorted[int(float64(len(sorted)-1)*share)]
	}
	return q
}

// ratios divides round by round, so that a drift of the machine cancels out.
func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}
