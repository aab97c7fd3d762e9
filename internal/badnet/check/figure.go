package check

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// Figure is one measured figure.
type Figure struct {
	What     string   // as "loss"
	Way      string   // "up", "down", or "" for both
	Unit     Unit     // of the values below
	Asked    *float64 // nil where no probe should come back, or nothing is asked
	Measured *float64 // nil where nothing came back
	Within   float64  // the tolerance around Asked
	Note     string   // why the figure is not judged
}

// Unit is the unit of a figure, as the JSON has it.
type Unit string

// The units.
const (
	Millis  Unit = "ms"
	Percent Unit = "percent"
	Bits    Unit = "bit_s"
)

// Verdict is the judgement of a figure.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Outside Verdict = "outside"
	Shown   Verdict = "not judged"
)

// forInformation is the Note of a figure that the profile doesn't ask for.
const forInformation = "nothing is asked of it"

// noIPv6 is the Note of the figures of ::1 where the machine or the driver has none.
const noIPv6 = "there is no ::1 here"

// asked tells whether the profile asks for the figure.
func (f Figure) asked() bool { return f.Note != forInformation }

// Verdict compares the measured value with the asked one.
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

// wrong says what is measured instead of what is asked.
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

// decimals writes a value with at most n decimals.
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

// MarshalJSON writes a flat object, whose names have the units of the values.
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
		name = strings.NewReplacer(" (mean)", "", "::1", "ipv6", " ", "_").Replace(name)
		all[name+"_verdict"] = f.Verdict()
		all[name+"_measured_"+string(f.Unit)] = f.Measured
		if f.asked() {
			all[name+"_asked_"+string(f.Unit)] = f.Asked
			all[name+"_within_"+string(f.Unit)] = f.Within
		}
	}
	return json.Marshal(all)
}

// Merge makes one figure of two that are equal for up and down.
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
	if f.Measured == nil && (f.Unit == Bits || f.Note == noIPv6) {
		return "-"
	}
	return f.Unit.Format(f.Measured)
}

// VerdictText is for a table: the verdict and the tolerance, or the reason.
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
