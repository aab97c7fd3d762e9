package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"gotimeout/internal/results"
)

// object is a list of named fields in their order, for JSON and CSV.
type object []field

type field struct {
	name  string
	value any
}

// MarshalJSON keeps the order of the fields, which a map doesn't.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for i, f := range o {
		b.WriteByte("{,"[min(i, 1)])
		fmt.Fprintf(&b, "%q:", f.name)
		if err := e.Encode(f.value); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// identity returns the fields that identify a row.
func identity(row *results.Row) object {
	return object{
		{"strategy", row.Strategy},
		{"op", row.Op},
		{"ctx", row.Ctx},
		{"network", row.Network},
		{"timeout_ms", row.Timeout},
		{"floor", row.Floor},
	}
}

// conditions returns the conditions under which the row's figures were measured.
func conditions(row *results.Row) object {
	return object{
		{"driver", row.Driver},
		{"round_trip_ms", row.RoundTrip},
		{"delays_ms", row.Delays},
		{"nominal_ms", row.Nominal},
	}
}

func figures(f results.Figures) (o object) {
	for i, c := range results.Columns() {
		o = append(o, field{c.Name, f[i]})
	}
	return o
}

// JSON writes results as one object. null is not known.
func JSON(w io.Writer, r *results.Results) error {
	rows := []object{}
	for _, row := range r.Rows {
		repeats := []object{}
		for _, f := range row.Repeats {
			repeats = append(repeats, figures(f))
		}
		o := append(append(identity(row), conditions(row)...), figures(row.Figures)...)
		rows = append(rows, append(o, field{"repeats", repeats}, field{"notes", append([]string{}, row.Notes...)}))
	}
	verdicts := []object{}
	a := newAccount(r)
	for _, v := range a.Verdicts {
		verdicts = append(verdicts, object{
			{"op", v.Op}, {"ctx", v.Ctx}, {"network", v.Network}, {"timeout_ms", v.Timeout},
			{"outcome", v.Outcome}, {"strategies", append([]string{}, v.Strategies...)}, {"excluded", reasons(v.Excluded)}, {"tolerated", reasons(v.Tolerated)}, {"sentence", v.Sentence.String()},
		})
	}
	_, sentences := a.text()
	return writeJSON(w, object{
		{"verdicts", verdicts},
		{"sentences", append([]string{}, sentences...)},
		{"run", r.Run},
		{"complete", r.Complete},
		{"interrupted", r.Interrupted},
		{"remarks", append([]string{}, remarks(r)...)},
		{"rows", rows},
	})
}

func reasons(faults []fault) []object {
	all := []object{}
	for _, f := range faults {
		all = append(all, object{{"strategy", f.Strategy}, {"reason", f.Text}})
	}
	return all
}

func writeJSON(w io.Writer, o object) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(o)
}

// json writes an object with every column of every row.
func (c *comparison) json(w io.Writer) error {
	identities := func(rows []*results.Row) []object {
		out := []object{}
		for _, row := range rows {
			out = append(out, identity(row))
		}
		return out
	}
	settings, rows := []object{}, []object{}
	for _, d := range c.differences {
		settings = append(settings, object{{"setting", d.name}, {"old", d.old}, {"new", d.new}})
	}
	for _, row := range c.rows {
		var changes []object
		for _, ch := range row.changes {
			changes = append(changes, ch.fields())
		}
		rows = append(rows, append(identity(row.Row), field{"changes", changes}))
	}
	return writeJSON(w, object{
		{"old", c.old.Run},
		{"new", c.new.Run},
		{"differences", settings},
		{"test", "Mann–Whitney U"},
		{"alpha", alpha},
		{"tested", c.tested},
		{"remarks", append([]string{}, c.sentences()...)},
		{"rows", rows},
		{"old_only", identities(c.oldOnly)},
		{"new_only", identities(c.newOnly)},
	})
}

// reachedAt returns the least timeout at which the strategy reached the target, or nil.
func reachedAt(v results.Verdict) *float64 {
	if v.From == nil {
		return nil
	}
	return &v.From.Timeout
}

// RecommendationJSON writes a recommendation as one object. null is not known.
func RecommendationJSON(w io.Writer, r *results.Recommendation) error {
	sweep, verdicts := []object{}, []object{}
	for _, s := range r.Sweep {
		sweep = append(sweep, object{
			{"strategy", s.Strategy}, {"timeout_ms", s.Timeout}, {"requests", s.Requests}, {"false_timeouts", s.TimedOut},
			{"false_timeouts_share", s.Share}, {"low_share", s.Low}, {"high_share", s.High}, {"failed", s.Failed},
			{"connections_opened", s.Dials}, {"waste_s_per_1000", s.Waste}, {"held_s_per_1000", s.Held},
		})
	}
	for _, v := range r.Verdict {
		verdicts = append(verdicts, object{
			{"strategy", v.At.Strategy}, {"outcome", v.Outcome}, {"reaches_at_ms", reachedAt(v)}, {"longest_tried_ms", v.Longest}, {"unbound", v.Unbound}, {"sentence", verdictOf(r, v)},
		})
	}
	return writeJSON(w, object{
		{"run", r.Of.Run},
		{"complete", r.Of.Complete},
		{"op", r.Sample.Op},
		{"ctx", r.Sample.Ctx},
		{"network", r.Sample.Network},
		{"target_share", r.Target},
		{"timeout_ms", r.Timeout},
		{"low_ms", r.Low},
		{"high_ms", r.High},
		{"calls", len(r.Sample.Took)},
		{"sentences", recommendSentences(r)},
		{"verdicts", verdicts},
		{"sweep", sweep},
	})
}
