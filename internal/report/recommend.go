package report

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"gotimeout/internal/prose"
	"gotimeout/internal/results"
	"gotimeout/internal/stats"
)

// Recommendation writes a recommendation as text for a terminal of 40 columns or more: the
// timeouts, the figures of the sweep, its curve, and the verdict on each strategy.
func Recommendation(w io.Writer, r *results.Recommendation, width int) error {
	var b strings.Builder
	for _, sentence := range recommendSentences(r) {
		b.WriteString(prose.Wrap(sentence, width))
	}
	if len(r.Sweep) > 0 {
		b.WriteString("\n")
		sweepTable(&b, r, width)
		b.WriteString("\n")
		sweepCurve(&b, r, width)
		b.WriteString("\n")
	}
	for _, v := range r.Verdict {
		if width < 80 {
			b.WriteString(prose.Hang(v.At.Strategy+" "+verdictOf(r, v), 2, width) + "\n")
			continue
		}
		fmt.Fprintf(&b, "%-17s  %s\n", v.At.Strategy, prose.Hang(verdictOf(r, v), 19, width))
	}
	if s := dialSentence(r); s != "" {
		b.WriteString("\n" + prose.Wrap(s, width))
	}
	_, err := io.WriteString(w, plain(b.String()))
	return err
}

// recommendSentences returns the timeouts, and the remarks on them.
func recommendSentences(r *results.Recommendation) []string {
	interval := fmt.Sprintf("95%% interval %s to %s", digits(r.Low), "more, as there were too few calls to tell")
	if r.High != nil {
		interval = fmt.Sprintf("95%% interval %s to %s", digits(r.Low), millis(*r.High))
	}
	times := r.Sample.Took
	all := usable(r)
	if least := results.SampleSize(r.Target); len(times) < least {
		all = append([]string{fmt.Sprintf("The run is too short to recommend a timeout: %s completed, and %d are the least that tell a share of %s. Let it run to its end, with more calls where some fail (--requests).",
			plural(float64(len(times)), "call"), least, inPercent(r.Target))}, all...)
	}
	alone := fmt.Sprintf("A timeout of %s (%s) cuts %s of the calls of %s that would have completed.", millis(r.Timeout), interval, inPercent(r.Target), where(r.Sample.Key))
	if len(all) > 0 {
		alone = fmt.Sprintf("The calls alone: all but %s take no longer than %s (%s).", inPercent(r.Target), millis(r.Timeout), interval)
	}
	all = append(all, alone,
		fmt.Sprintf("Of %s of %s without a timeout, at %s a second, half took up to %s, 90%% up to %s, 99%% up to %s, and the longest %s.",
			plural(float64(len(times)), "call"), callsOf(r.Sample), digits(r.Of.Run.Rate), millis(stats.Percentile(times, 50)), millis(stats.Percentile(times, 90)),
			millis(stats.Percentile(times, 99)), millis(times[len(times)-1])),
	)
	f := r.Sample.Figures
	if failed := *f[results.Failed] + *f[results.Refused]; failed > 0 {
		all = append(all, fmt.Sprintf("%s more calls failed or were refused: these figures leave them out.", digits(failed)))
	}
	if first, last := r.Sample.TookFirst, r.Sample.TookLast; first != nil && math.Abs(*first-*last) > max(5, min(*first, *last)/5) {
		all = append(all, fmt.Sprintf("But the load was not steady: half the calls of its first quarter took up to %s, of its last %s. A lower --rate or more --requests may make it steady.",
			millis(*first), millis(*last)))
	}
	if !r.Of.Complete {
		all = append(all, "It was interrupted: the figures are of the calls until then.")
	}
	return all
}

// usable returns a sentence for each strategy with the timeout to give it, the shortest first.
func usable(r *results.Recommendation) []string {
	var found []results.Swept
	var none, unbound []string
	for _, v := range r.Verdict {
		switch {
		case v.At.Requests < results.SampleSize(r.Target): // an interrupt left too few requests
		case v.Unbound:
			unbound = append(unbound, v.At.Strategy)
		case v.From == nil:
			none = append(none, fmt.Sprintf("%s cuts more at every timeout up to %s", v.At.Strategy, millis(v.Longest)))
		default:
			found = append(found, *v.From)
		}
	}
	switch len(unbound) {
	case 0:
	case 1:
		none = append(none, unbound[0]+" binds no call")
	default:
		none = append(none, prose.And(unbound)+" bind no call")
	}
	slices.SortStableFunc(found, func(a, b results.Swept) int { return cmp.Compare(a.Timeout, b.Timeout) })
	var give []string
	for _, s := range found {
		give = append(give, fmt.Sprintf("%s %s (%s of %s cut, 95%% interval %s)", s.Strategy, millis(s.Timeout), inPercent(s.Share), digits(float64(s.Requests)), intervalOf(s)))
	}
	var all []string
	if len(give) > 0 {
		all = append(all, fmt.Sprintf("To cut no more than %s of the calls of %s that would have completed, give %s.", inPercent(r.Target), where(r.Sample.Key), prose.And(give)))
	}
	switch {
	case len(none) > 0 && len(give) > 0:
		all = append(all, "But "+prose.And(none)+".")
	case len(none) > 0:
		all = append(all, fmt.Sprintf("No strategy that was tried can be used to cut %s of the calls of %s: %s.", inPercent(r.Target), where(r.Sample.Key), prose.And(none)))
	}
	return all
}

// verdictOf returns the sentence of the verdict on a strategy.
func verdictOf(r *results.Recommendation, v results.Verdict) string {
	s := fmt.Sprintf("%s: %s of %s cut at %s (%s)", v.Outcome, inPercent(v.At.Share), digits(float64(v.At.Requests)), millis(r.Timeout), intervalOf(v.At))
	if v.Outcome == results.Unclear {
		s += fmt.Sprintf("; if it stays so, --requests %d would tell", v.Needs)
	}
	switch {
	case v.Outcome == results.Reaches:
	case v.From != nil:
		s += "; reaches it at " + millis(v.From.Timeout)
	default:
		s += "; reaches it at no timeout up to " + millis(v.Longest)
	}
	if v.Unbound {
		s += "; but its timeout does not bind: calls that take longer are not cut, or answered at their end only"
	}
	return s
}

// dialSentence names the strategies that miss the target because they dial for most calls;
// it is "" if there are none.
func dialSentence(r *results.Recommendation) string {
	var names []string
	for _, v := range r.Verdict {
		if v.Outcome == results.Misses && 2*v.At.Dials > v.At.Requests {
			names = append(names, v.At.Strategy)
		}
	}
	if len(names) == 0 || r.Sample.RoundTrip == nil {
		return ""
	}
	return fmt.Sprintf("%s dialed for most calls: a cut closes the connection, and a call that must dial takes one more round trip, which is %s here.",
		prose.And(names), millis(*r.Sample.RoundTrip))
}

// sweepTable writes the figures of the sweep, with a block for each timeout.
func sweepTable(b *strings.Builder, r *results.Recommendation, width int) {
	if width < 80 {
		for _, s := range r.Sweep {
			b.WriteString(prose.Hang(fmt.Sprintf("%s, %s: false timeouts %s (%s), failed %s, dials %s, waste %s s/1000, held %s s/1000", millis(s.Timeout), s.Strategy,
				inPercent(s.Share), intervalOf(s), digits(float64(s.Failed)), digits(float64(s.Dials)), orUnknown(s.Waste), digits(s.Held)), 2, width) + "\n")
		}
		b.WriteString("\n" + prose.Wrap(sweepWords, width))
		return
	}
	write := func(cells ...any) {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%8s  %-17.17s %8s  %-14s %6s %6s %6s %6s", cells...), " ") + "\n")
	}
	write("", "", "false", "95%", "", "", "waste", "held")
	write("timeout", "strategy", "timeouts", "interval", "failed", "dials", "s/1000", "s/1000")
	for i, s := range r.Sweep {
		timeout := ""
		if i == 0 || r.Sweep[i-1].Timeout != s.Timeout {
			timeout = millis(s.Timeout)
		}
		write(timeout, s.Strategy, inPercent(s.Share), intervalOf(s), digits(float64(s.Failed)), digits(float64(s.Dials)), orUnknown(s.Waste), digits(s.Held))
	}
	b.WriteString("\n")
	b.WriteString(prose.Wrap(sweepWords, width))
}

// sweepWords explains the columns.
const sweepWords = "false timeouts: calls that timed out though they would have completed; dials: connections opened, those of the warm-up included; " +
	"waste: seconds that backends worked for nobody, per 1,000 requests; held: seconds that callers waited for a timeout, per 1,000 requests."

// intervalOf returns the interval of a share of false timeouts.
func intervalOf(s results.Swept) string {
	return strings.TrimSuffix(inPercent(s.Low), "%") + " to " + inPercent(s.High)
}

// orUnknown returns the text of a figure, or "?".
func orUnknown(v *float64) string {
	if v == nil {
		return "?"
	}
	return digits(*v)
}

// inPercent writes a share from 0 to 1 in percent, with two digits.
func inPercent(share float64) string {
	if share >= 0.0995 {
		return fmt.Sprintf("%.0f%%", 100*share)
	}
	return fmt.Sprintf("%.2g%%", 100*share)
}

// curve is the sweep as text: a line for each timeout, with a letter for each strategy at
// its share, on a logarithmic scale. Its value is its width in columns, without those of
// the timeouts.
type curve int

const (
	curveLeft  = 10 // the columns of the timeouts
	leastShare = 0.0001
)

// column returns the column of a share; a share under the least is at the left.
func (c curve) column(share float64) int {
	decade := float64(c-1) / 4 // from 0.01% to 100%
	return int(math.Round(math.Log10(max(share, leastShare)/leastShare) * decade))
}

// sweepCurve writes the shares of false timeouts of each strategy, and the share of the
// sample that each timeout would cut.
func sweepCurve(b *strings.Builder, r *results.Recommendation, width int) {
	c := curve(min(width, 80) - curveLeft - 2)
	b.WriteString(prose.Wrap(fmt.Sprintf("The same as a curve, on a logarithmic scale; | is the target of %s:", inPercent(r.Target)), width))
	b.WriteString(c.scale())
	names := sweptStrategies(r)
	for from := 0; from < len(r.Sweep); {
		to := from
		for to < len(r.Sweep) && r.Sweep[to].Timeout == r.Sweep[from].Timeout {
			to++
		}
		fmt.Fprintf(b, "%8s  %s\n", millis(r.Sweep[from].Timeout), c.line(r, names, r.Sweep[from:to]))
		from = to
	}
	legend := []string{"o the sample, if it were cut"}
	for i, name := range names {
		legend = append(legend, fmt.Sprintf("%s %s", letter(i), name))
	}
	b.WriteString(prose.Wrap(strings.Join(append(legend, "* several"), ", "), width))
}

func (c curve) scale() string {
	line := []rune(strings.Repeat(" ", curveLeft+int(c)+2))
	for _, share := range []float64{leastShare, 0.001, 0.01, 0.1, 1} {
		text := []rune(inPercent(share))
		if share == leastShare {
			text = []rune("0.01%, 0")
			if c < 40 {
				text = []rune("0")
			}
		}
		at := curveLeft + c.column(share)
		copy(line[min(at, len(line)-len(text)):], text)
	}
	return strings.TrimRight(string(line), " ") + "\n"
}

func (c curve) line(r *results.Recommendation, names []string, at []results.Swept) string {
	line := []byte(strings.Repeat(".", int(c)))
	line[c.column(r.Target)] = '|'
	line[c.column(results.ShareOver(r.Sample.Took, at[0].Timeout))] = 'o'
	taken := map[int]bool{}
	for _, s := range at {
		column := c.column(s.Share)
		line[column] = '*'
		if !taken[column] {
			for i, name := range names {
				if name == s.Strategy {
					line[column] = letter(i)[0]
				}
			}
		}
		taken[column] = true
	}
	return string(line)
}

// letter returns the letter of a strategy.
func letter(i int) string { return string(rune('A' + i%26)) }

// sweptStrategies returns the strategies of the sweep, in its order.
func sweptStrategies(r *results.Recommendation) (names []string) {
	seen := map[string]bool{}
	for _, s := range r.Sweep {
		if !seen[s.Strategy] {
			seen[s.Strategy] = true
			names = append(names, s.Strategy)
		}
	}
	return names
}
