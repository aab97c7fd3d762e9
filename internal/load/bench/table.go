//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
)

// header begins a table, whose first column is on the left.
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

// median is that of values in any order.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}

// ratios divides round by round, so that a drift of the machine cancels out.
func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}
