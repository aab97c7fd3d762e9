package network

import (
	"math"
	"strconv"
)

// Figure is one thing that was measured.
type Figure struct {
	What     string   // as "loss"
	Way      string   // "up", "down", or "" for both
	Unit     Unit     // of all that follows
	Asked    *float64 // nil where none is to come back, or nothing is asked
	Measured *float64 // nil where nothing came back
	Within   float64  // how far from asked is as asked
	Note     string   // why it is only shown
}

// Unit is what a figure is measured in, as the JSON has it.
type Unit string

// The units.
const (
	Millis  Unit = "ms"
	Percent Unit = "percent"
	Bits    Unit = "bit_s"
)

// Verdict is what a figure says of the network.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Outside Verdict = "outside"
	Shown   Verdict = "not judged"
)

// forInformation is the Note of what nothing is asked of.
const forInformation = "nothing is asked of it"

// asked tells whether there is something to compare with.
func (f Figure) asked() bool { return f.Note != forInformation }

// Verdict compares what was measured with what was asked.
func (f Figure) Verdict() Verdict {
	switch {
	case f.Note != "":
		return Shown
	case f.Asked == nil && f.Measured == nil:
		return OK
	case f.Asked == nil || f.Measured == nil || math.Abs(*f.Measured-*f.Asked) > f.Within:
		return Outside
	}
	return OK
}

// wrong says what is outside.
func (f Figure) wrong() string {
	name := f.What
	if f.Way != "" {
		name += " " + f.Way
	}
	text := name + ": " + f.Unit.Format(f.Measured) + " instead of "
	if f.Asked == nil {
		return text + "none"
	}
	return text + f.Unit.Format(f.Asked) + " ± " + f.Unit.Format(&f.Within)
}

// Format writes a value with its unit.
func (u Unit) Format(v *float64) string {
	switch {
	case v == nil:
		return "none came back"
	case u == Percent:
		return decimals(*v, 2) + "%"
	case u == Bits:
		return bits(*v)
	}
	return decimals(*v, 2) + " ms"
}

// decimals writes so many of them at most.
func decimals(v float64, n int) string {
	scale := math.Pow10(n)
	return strconv.FormatFloat(math.Round(v*scale)/scale, 'f', -1, 64)
}

// bits writes a rate in the unit that suits it.
func bits(v float64) string {
	for _, u := range []struct {
		of   float64
		name string
	}{{1e9, "Gbit/s"}, {1e6, "Mbit/s"}, {1e3, "kbit/s"}} {
		if v >= u.of {
			return decimals(v/u.of, 2) + " " + u.name
		}
	}
	return decimals(v, 2) + " bit/s"
}
