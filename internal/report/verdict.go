package report

import (
	"cmp"
	"fmt"
	"slices"

	"gotimeout/internal/results"
)

// verdict names the strategies of a group that leave no work behind.
type verdict struct {
	results.Key
	Outcome    string
	Strategies []string // those that leave no work behind; nil unless the outcome is clean
	Sentence   sentence
}

// The outcomes of a verdict.
const (
	clean    = "clean"     // some strategies leave no work behind
	none     = "none"      // each strategy leaves work behind
	unseen   = "unseen"    // nobody could see the backend
	tooShort = "too_short" // too few calls timed out to tell
)

// judgeGroups returns the verdict on each group. A strategy is judged by its timed-out calls:
// each was seen to end, none ran on, and the strategy is not harmful.
func (a *account) judgeGroups(harmful map[*results.Row]bool) (all []verdict) {
	for _, g := range a.groups {
		bounded := slices.DeleteFunc(slices.Clone(g.Rows), func(r *results.Row) bool { return r.Unbounded || len(r.Repeats) == 0 })
		if len(bounded) > 0 {
			all = append(all, a.judge(g, bounded, harmful))
		}
	}
	return all
}

func (a *account) judge(g *results.Group, bounded []*results.Row, harmful map[*results.Row]bool) verdict {
	v := verdict{Key: g.Key}
	var best []*results.Row
	most, seen, ranOn := 0, 0, 0
	for _, r := range bounded {
		most, seen, ranOn = max(most, r.TimedOut), seen+r.Seen, ranOn+r.RanOn
		if !harmful[r] && leavesNothing(r) {
			best = append(best, r)
			v.Strategies = append(v.Strategies, r.Strategy)
		}
	}
	text := ""
	switch {
	case most < fewTimeouts:
		v.Outcome, v.Strategies = tooShort, nil
		text = fmt.Sprintf("the run is too short to choose: %s of a strategy timed out, and %d are the least that tell. Make it longer (--duration, --rate), or the timeout shorter.", atMost(most), fewTimeouts)
	case len(best) > 0:
		v.Outcome = clean
		v.Sentence.Parts = a.names(g, best)
		text = a.praise(g, best)
	case seen == 0 && g.Rows[0].Backend != "":
		v.Outcome = unseen
		text = "nobody could see when the backend stopped, so none can be chosen for what it leaves there."
	case seen > 0 && ranOn == seen:
		v.Outcome = none
		text = fmt.Sprintf("no strategy stops the work: each of %s that could be seen ran on in %s. Limit the work there, too.", plural(float64(seen), "timed-out call"), orBackend(g.Rows[0].Backend))
	default:
		v.Outcome = none
		least := slices.MinFunc(bounded, func(a, b *results.Row) int {
			return cmp.Compare(orZero(a, results.WastePer1000), orZero(b, results.WastePer1000))
		})
		text = fmt.Sprintf("each strategy left something behind or broke something; the least waste has %s: %s s per 1,000 requests.", least.Strategy, digits(orZero(least, results.WastePer1000)))
	}
	v.Sentence.Parts = append(append([]part{{Text: "On " + a.where(g.Key) + ", "}}, v.Sentence.Parts...), part{Text: text})
	return v
}

func atMost(n int) string {
	if n == 0 {
		return "no call"
	}
	return "at most " + plural(float64(n), "call")
}

// leavesNothing reports whether each timed-out call of a row was seen to end with its
// answer, also in the backend if the op has one.
func leavesNothing(r *results.Row) bool {
	return r.TimedOut >= fewTimeouts && (r.Backend == "" || r.Seen >= r.TimedOut) && r.RanOn == 0 && orZero(r, results.Failed)+orZero(r, results.Refused) == 0 &&
		r.Figures[results.OvershootP99] != nil && r.Figures[results.StraggleP99] != nil
}

// names returns the names of rows, each with a link to its row.
func (a *account) names(g *results.Group, rows []*results.Row) (parts []part) {
	for i, r := range rows {
		if i > 0 {
			parts = append(parts, part{Text: [2]string{", ", " and "}[i/(len(rows)-1)]})
		}
		parts = append(parts, part{Strategy: r.Strategy, Href: a.link(r).Href})
	}
	return parts
}

// praise returns the evidence that strategies leave no work behind.
func (a *account) praise(g *results.Group, best []*results.Row) string {
	worst := func(place int) (v float64) {
		for _, r := range best {
			v = max(v, orZero(r, place))
		}
		return v
	}
	least := judged{slices.MinFunc(best, func(a, b *results.Row) int { return cmp.Compare(a.TimedOut, b.TimedOut) }), g.Floor, &a.results.Run}
	verb, each := " leaves", ""
	if len(best) > 1 {
		verb, each = " leave", " or more each"
	}
	backend := ""
	if least.Backend != "" {
		backend = fmt.Sprintf(", the backend within %d ms", chanceMillis)
	}
	return fmt.Sprintf("%s no work behind: of %s%s, all were seen to end: the op within %s of the answer (%s)%s. The answer came at most %s after the timeout (%s%s).",
		verb, plural(float64(least.TimedOut), "timed-out call"), each, millis(max(0.1, worst(results.StraggleP99))), least.percentile(results.StraggleP99), backend,
		millis(worst(results.OvershootP99)), least.percentile(results.OvershootP99), least.beside(results.OvershootP99, "; ", millis))
}

// text returns the verdicts and the sentences as text, for a terminal and for Markdown.
func (a *account) text() (verdicts, sentences []string) {
	for _, v := range a.Verdicts {
		verdicts = append(verdicts, v.Sentence.String())
	}
	for _, s := range a.Sentences {
		sentences = append(sentences, s.String())
	}
	return verdicts, sentences
}
