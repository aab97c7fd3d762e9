package report

import (
	"cmp"
	"fmt"
	"slices"

	"gotimeout/internal/prose"
	"gotimeout/internal/results"
)

// verdict names the strategies of a group that leave no work behind.
type verdict struct {
	results.Key
	Outcome             string
	Strategies          []string // those that leave no work behind; nil unless the outcome is clean
	Excluded, Tolerated []fault  // the faults for which a strategy is not among them, and those that may be chance
	Sentence            sentence
}

// The outcomes of a verdict.
const (
	clean    = "clean"     // some strategies leave no work behind
	none     = "none"      // each strategy leaves work behind
	unseen   = "unseen"    // nobody could see the backend
	tooShort = "too_short" // too few calls timed out to tell
)

// fault is what a strategy did that a clean one doesn't, as the end of a sentence about the
// strategy.
type fault struct{ Strategy, Text string }

// judgeGroups returns the verdict on each group.
func (a *account) judgeGroups() (all []verdict) {
	for _, g := range a.groups {
		bounded := slices.DeleteFunc(slices.Clone(g.Rows), func(r *results.Row) bool { return r.Unbounded || len(r.Repeats) == 0 })
		if len(bounded) > 0 {
			all = append(all, a.judge(g, bounded))
		}
	}
	return all
}

func (a *account) judge(g *results.Group, bounded []*results.Row) verdict {
	v := verdict{Key: g.Key}
	var best []*results.Row
	most, seen, ranOn, stopped := 0, 0, 0, false
	for _, r := range bounded {
		most, seen, ranOn = max(most, r.TimedOut), seen+r.Seen, ranOn+r.RanOn
		least, _ := results.Wilson(r.RanOn, r.Seen)
		stopped = stopped || r.Seen > 0 && least < 0.5
		excluded, tolerated := judged{r, g.Floor, &a.results.Run}.faults()
		if excluded == "" {
			best = append(best, r)
			v.Strategies = append(v.Strategies, r.Strategy)
		} else {
			v.Excluded = append(v.Excluded, fault{r.Strategy, excluded})
		}
		if excluded == "" && tolerated != "" {
			v.Tolerated = append(v.Tolerated, fault{r.Strategy, tolerated})
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
		text = a.praise(g, best) + told(" Tolerated, as the share may be 1% or less (95% interval): ", v.Tolerated) + told(" Not among them: ", v.Excluded)
	case seen == 0 && g.Rows[0].Backend != "":
		v.Outcome = unseen
		text = "nobody could see when the backend stopped, so none can be chosen for what it leaves there."
	case seen > 0 && !stopped:
		v.Outcome = none
		least, _ := results.Wilson(ranOn, seen)
		each := "each"
		if ranOn < seen { // a call that was cut just before its end
			each = digits(float64(ranOn))
		}
		text = fmt.Sprintf("no strategy stops the work: %s of %s that could be seen ran on in %s (95%%: at least %s do). Limit the work there, too.",
			each, plural(float64(seen), "timed-out call"), orBackend(g.Rows[0].Backend), inPercent(least))
	default:
		v.Outcome = none
		least := slices.MinFunc(bounded, func(a, b *results.Row) int {
			return cmp.Compare(orZero(a, results.WastePer1000), orZero(b, results.WastePer1000))
		})
		text = fmt.Sprintf("each strategy left something behind or broke something; the least waste has %s: %s s per 1,000 requests.", least.Strategy, digits(orZero(least, results.WastePer1000))) +
			told(" ", v.Excluded)
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

// faults returns for what a row is excluded from the strategies that leave no work behind,
// and what may be chance; "" is nothing.
func (j judged) faults() (excluded, maybe string) {
	switch {
	case j.TimedOut < fewTimeouts:
		return fmt.Sprintf("timed out %s, which is too few", plural(float64(j.TimedOut), "call")), ""
	case j.Figures[results.OvershootP99] == nil || j.Figures[results.StraggleP99] == nil:
		return "has no receipts to judge by", ""
	}
	for _, of := range rules() {
		switch {
		case of.serious:
			if f := of.find(j); f.size > 0 && excluded == "" {
				excluded = f.text
			}
		case of.calls != nil:
			s := of.calls(j)
			text := fmt.Sprintf(of.did, digits(float64(s.n))+" of "+plural(float64(s.of), "call"))
			switch {
			case s.beyondChance():
				excluded = cmp.Or(excluded, text)
			case s.n > 0:
				maybe = cmp.Or(maybe, text)
			}
		}
	}
	return excluded, maybe
}

// told returns a sentence about faults, with those that have the same fault in one clause.
func told(opening string, faults []fault) string {
	var clauses []string
	names := map[string][]string{}
	for _, f := range faults {
		if names[f.Text] = append(names[f.Text], f.Strategy); len(names[f.Text]) == 1 {
			clauses = append(clauses, f.Text)
		}
	}
	if len(clauses) == 0 {
		return ""
	}
	for i, text := range clauses {
		clauses[i] = prose.And(names[text]) + " " + text
	}
	return opening + prose.And(clauses) + "."
}

// names returns the names of rows, each with a link to its row.
func (a *account) names(g *results.Group, rows []*results.Row) (parts []part) {
	for i, r := range rows {
		if i > 0 {
			parts = append(parts, part{Text: [2]string{", ", " and "}[i/(len(rows)-1)]})
		}
		parts = append(parts, part{Strategy: r.Strategy, Href: a.link(r).Href, Colour: colourOf(r)})
	}
	return parts
}

// praise returns the evidence that strategies leave no work behind, and how sure it is.
func (a *account) praise(g *results.Group, best []*results.Row) string {
	worst := func(place int) (v float64) {
		for _, r := range best {
			v = max(v, orZero(r, place))
		}
		return v
	}
	least := judged{slices.MinFunc(best, func(a, b *results.Row) int { return cmp.Compare(a.TimedOut, b.TimedOut) }), g.Floor, &a.results.Run}
	_, most := results.Wilson(0, least.TimedOut)
	all := "all"
	for _, r := range best {
		if n := r.RanOn + unseenCalls(judged{Row: r}).n; n > 0 {
			_, high := results.Wilson(n, r.TimedOut)
			all, most = "nearly all", max(most, high)
		}
	}
	verb, each := " leaves", ""
	if len(best) > 1 {
		verb, each = " leave", " or more each"
	}
	backend := ""
	if least.Backend != "" {
		backend = fmt.Sprintf(", the backend within %d ms", chanceMillis)
	}
	return fmt.Sprintf("%s no work behind: of %s%s, %s were seen to end, so at most %s run on (95%%). The op ended within %s of the answer (%s)%s; the answer came at most %s after the timeout (%s%s).",
		verb, plural(float64(least.TimedOut), "timed-out call"), each, all, inPercent(most), millis(max(0.1, worst(results.StraggleP99))), least.percentile(results.StraggleP99), backend,
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
