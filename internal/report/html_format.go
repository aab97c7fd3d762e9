package report

import (
	"math"
	"strconv"
	"strings"

	"gotimeout/internal/results"
)

// digits are those of a figure as people read it: about three, or all before the
// point, with the thousands apart.
func digits(v float64) string {
	decimals := 0
	switch a := math.Abs(v); {
	case a == math.Trunc(a):
	case a < 0.995:
		decimals = 2
	case a < 99.95:
		decimals = 1
	}
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	whole, rest, _ := strings.Cut(s, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		rest = "." + rest
	}
	return sign + whole + rest
}

// millis is a time in milliseconds.
func millis(v float64) string { return digits(v) + " ms" }

// where says what a group's rows have in common, without what goes without saying.
func where(k results.Key) string {
	s := k.Op
	if k.Ctx != "" && k.Ctx != "aware" {
		s += ", " + k.Ctx
	}
	if k.Network != "" && k.Network != "none" {
		s += " over " + k.Network
	}
	return s
}
