package check

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
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

// MarshalJSON writes an object without levels: the names of what was asked and
// measured have their units.
func (c *Check) MarshalJSON() ([]byte, error) {
	all := map[string]any{
		"driver": c.Driver, "why": c.Why, "profile": c.Profile,
		"ok": c.Outside() == "", "outside": c.Outside(),
	}
	for _, f := range c.Figures {
		name := f.What
		if f.Way != "" {
			name += " " + f.Way
		}
		name = strings.ReplaceAll(strings.ReplaceAll(name, " (mean)", ""), " ", "_")
		all[name+"_verdict"] = f.Verdict()
		all[name+"_measured_"+string(f.Unit)] = f.Measured
		if f.asked() {
			all[name+"_asked_"+string(f.Unit)] = f.Asked
			all[name+"_within_"+string(f.Unit)] = f.Within
		}
	}
	return json.Marshal(all)
}

// Merge makes one of two figures that say the same of up and of down.
func Merge(figures []Figure) (merged []Figure) {
	text := func(f Figure) [4]string {
		return [4]string{f.What, f.AskedText(), f.MeasuredText(), f.VerdictText()}
	}
	for _, f := range figures {
		if n := len(merged); n > 0 && text(merged[n-1]) == text(f) {
			merged[n-1].Way = ""
			continue
		}
		merged = append(merged, f)
	}
	return merged
}

// AskedText is for a table.
func (f Figure) AskedText() string {
	if f.Asked == nil && !f.asked() {
		return "-"
	}
	if f.Asked == nil {
		return "none comes back"
	}
	return f.Unit.Format(f.Asked)
}

// MeasuredText is for a table.
func (f Figure) MeasuredText() string {
	if f.Measured == nil && f.Unit == Bits {
		return "-"
	}
	return f.Unit.Format(f.Measured)
}

// VerdictText is for a table: the verdict and what it goes by.
func (f Figure) VerdictText() string {
	text := string(f.Verdict())
	switch {
	case f.Note == forInformation:
	case f.Note != "":
		text += ": " + f.Note
	case f.Asked != nil:
		text += ", ± " + f.Unit.Format(&f.Within)
	}
	return text
}
