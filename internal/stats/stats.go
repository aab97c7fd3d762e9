// Package stats has the two figures that the lab makes of many: a median and a
// percentile, defined once so that no two tables mean different ones.
package stats

import (
	"math"
	"slices"
)

// Number is what a figure is made of; a time.Duration is one.
type Number interface{ ~int64 | ~float64 }

// Median returns the value in the middle, or the mean of the two in the middle
// of an even number of values. The values may be in any order and must not be
// none.
func Median[T Number](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Percentile returns the smallest value that p percent of the values do not
// exceed: the nearest rank. The values must be sorted and must not be none.
func Percentile[T Number](sorted []T, p float64) T {
	rank := int(math.Ceil(p * float64(len(sorted)) / 100))
	return sorted[max(1, rank)-1]
}
