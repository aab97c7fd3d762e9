package network

import (
	"encoding/json"
	"strings"
)

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
