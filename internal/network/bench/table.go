//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"
)

// header begins a table.
func header() {
	fmt.Print("| what | driver | asked | measured | bar | |\n|---|---|--:|--:|--:|---|\n")
}

// row prints a line of it. Without a bar it is there to compare.
func row(what, driver, asked, measured, bar string, met bool) {
	verdict := "met"
	switch {
	case bar == "":
		verdict = ""
	case !met:
		verdict = "MISSED"
	}
	fmt.Printf("| %s | %s | %s | %s | %s | %s |\n", what, driver, asked, measured, bar, verdict)
}

// ms writes milliseconds.
func ms(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// quantile is of what is sorted.
func quantile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(float64(len(sorted)-1)*share)]
}

func median[T float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}
