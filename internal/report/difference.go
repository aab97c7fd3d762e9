package report

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gotimeout/internal/machine"
	"gotimeout/internal/results"
)

// difference is a setting that is not the same in two comparisons.
type difference struct{ name, old, new string }

// differences are in what two comparisons were not made alike, which is to be
// known before their figures are held against each other.
func differences(before, after *results.Results) (out []difference) {
	apart := loadApart(before) || loadApart(after)
	old, new := circumstances(before, apart), circumstances(after, apart)
	names := maps.Clone(old)
	maps.Copy(names, new)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if old[name] != new[name] {
			out = append(out, difference{name, old[name], new[name]})
		}
	}
	return out
}

// circumstances are the settings of a comparison, and where it was made.
func circumstances(r *results.Results, apart bool) map[string]string {
	out := map[string]string{
		"rate":     strconv.FormatFloat(r.Run.Rate, 'f', -1, 64) + "/s",
		"duration": setting(r.Run.Duration),
		"warm-up":  setting(r.Run.WarmUp),
		"repeat":   strconv.Itoa(r.Run.Repeat),
		"probes":   strconv.Itoa(r.Run.Probes),
		"url":      r.Run.URL,
	}
	for name, value := range r.Run.TCP {
		out["lab: "+name] = value
	}
	describe(out, "lab: ", r.Run.Lab)
	if apart {
		describe(out, "load generator: ", r.Run.Machine)
	}
	var delays, timeouts []string
	for _, row := range r.Rows {
		if row.Network != "none" {
			out["driver of "+row.Network] = row.Driver
		}
		if !row.Floor {
			delays, timeouts = append(delays, settings(row.Delays)), append(timeouts, setting(row.Timeout))
		}
	}
	out["delays"], out["timeouts"] = distinct(delays), distinct(timeouts)
	return out
}

// loadApart tells whether the load came from another machine or program than the
// lab's.
func loadApart(r *results.Results) bool { return !reflect.DeepEqual(r.Run.Machine, r.Run.Lab) }

func distinct(texts []string) string {
	slices.Sort(texts)
	return strings.Join(slices.Compact(texts), ", ")
}

func describe(out map[string]string, whose string, m machine.Machine) {
	maps.Copy(out, map[string]string{
		whose + "system": m.OS, whose + "kernel": m.Kernel, whose + "CPU": m.CPU,
		whose + "processors": strconv.Itoa(m.Processors), whose + "Go": m.Go, whose + "gotimeout": m.Version,
	})
	for path, version := range m.Modules {
		out[whose+path] = version
	}
}
