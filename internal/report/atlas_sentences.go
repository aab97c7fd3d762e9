package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gotimeout/internal/prose"
	"gotimeout/internal/results"
	"gotimeout/strategies"
)

// leads are the words that the sentence on a family is about.
var leads = map[string]string{
	string(strategies.AroundCall):     "Its context",
	string(strategies.AroundHandler):  "A bound around the handler",
	string(strategies.InsideClient):   "Its own timeouts",
	string(strategies.InBackend):      "A limit in its server",
	string(strategies.OutsideProcess): "A process of its own",
	string(strategies.OutOfRequest):   "A queue",
}

// points are the sentences on a client.
func (a *atlas) points(c atlasClient) (all []atlasPoint) {
	if len(c.Heads) == 0 {
		return nil
	}
	home := c.Heads[0].Network
	for _, family := range c.Families {
		if text := c.does(family, a.ctxs, home); text != "" {
			all = append(all, atlasPoint{cmp.Or(leads[family.Name], family.Name), text})
		}
	}
	for _, network := range a.Networks {
		if network.Profile != home && a.surveyed(c.Client, network.Profile) {
			all = append(all, atlasPoint{"On " + network.Profile, c.differs(a.ctxs, home, network.Profile)})
		}
	}
	all = append(all, atlasPoint{"Left behind", c.leaves()})
	for i := range all {
		all[i].Text = capital(all[i].Text)
	}
	return all
}

func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// at returns the entries of a family, or of all families for "", in a column.
func (c atlasClient) at(family, ctx, network string) (all []atlasEntry) {
	place := slices.Index(c.Heads, atlasHead{ctx, network})
	for _, f := range c.Families {
		if family != "" && f.Name != family || place < 0 {
			continue
		}
		for _, row := range f.Rows {
			if e := row.Cells[place]; e.AtlasCell != nil && e.Answer != results.NotRun && e.Answer != results.Unbounded {
				all = append(all, e)
			}
		}
	}
	return all
}

// atlasGroup is the strategies whose cells in a column are of one kind.
type atlasGroup struct {
	names []string
	worst atlasEntry
}

func (g atlasGroup) same(of atlasGroup) bool {
	return g.worst.Kind == of.worst.Kind && slices.Equal(g.names, of.names)
}

// groups groups entries by their kind.
func groups(entries []atlasEntry) (all []atlasGroup) {
	for _, e := range entries {
		i := slices.IndexFunc(all, func(g atlasGroup) bool { return g.worst.Kind == e.Kind })
		if i < 0 {
			all = append(all, atlasGroup{worst: e})
			i = len(all) - 1
		}
		g := &all[i]
		if !slices.Contains(g.names, e.Strategy) {
			g.names = append(g.names, e.Strategy)
		}
		g.worst.After = max(g.worst.After, e.After)
		g.worst.Straggle, g.worst.Waste = longer(g.worst.Straggle, e.Straggle), longer(g.worst.Waste, e.Waste)
	}
	return all
}

func longer(a, b *float64) *float64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}

// says describes the calls of a group, as "`a` and `b` answer on time and …".
func (g atlasGroup) says() string {
	e, verb := g.worst, func(of string) string { return prose.Noun(2, of) } // "answers"
	if len(g.names) > 1 {
		verb = func(of string) string { return of }
	}
	var does []string
	switch e.Answer {
	case results.OnTime:
		does = append(does, verb("answer")+" on time")
	case results.AtOnce:
		does = append(does, verb("answer")+" at once")
	case results.TooLate:
		does = append(does, verb("answer")+" "+lasting(e.After)+" late")
	case results.Fails:
		does = append(does, verb("fail")+" ("+strings.TrimSuffix(e.Error, ".")+")")
	default:
		does = append(does, verb("end")+" without a receipt")
	}
	if e.Closes {
		does = append(does, verb("close")+" the connection")
	}
	switch {
	case e.Call == results.RanOn && e.Backend == results.RanOn:
		does = append(does, verb("leave")+" the call and "+e.Client.Backend+" at work for "+lasting(max(*e.Straggle, *e.Waste)))
	case e.Call == results.RanOn:
		does = append(does, verb("leave")+" the call at work for "+lasting(*e.Straggle))
	case e.Backend == results.RanOn:
		does = append(does, verb("leave")+" "+e.Client.Backend+" at work for "+lasting(*e.Waste))
	case e.Clean():
		does = append(does, verb("leave")+" nothing at work")
	}
	if e.Backend == results.Unseen && e.Answer != results.Fails {
		does = append(does, verb("leave")+" it unknown when "+e.Client.Backend+" stopped")
	}
	if e.Spoils {
		does = append(does, verb("break")+" the calls that follow")
	}
	return prose.And(quoted(g.names)) + " " + prose.And(does)
}

func quoted(names []string) (all []string) {
	for _, name := range names {
		all = append(all, "`"+name+"`")
	}
	return all
}

// does describes what a family's strategies do on a network.
func (c atlasClient) does(family atlasFamily, ctxs []string, network string) string {
	var columns [][]atlasEntry
	for _, ctx := range ctxs {
		columns = append(columns, c.at(family.Name, ctx, network))
	}
	return sayColumns(ctxs, columns)
}

// sayColumns describes the entries of each ctx, in one sentence where all are the same; ""
// is none.
func sayColumns(ctxs []string, columns [][]atlasEntry) string {
	var all []string
	var said [][]atlasGroup
	for i, entries := range columns {
		if found := groups(entries); len(found) > 0 {
			said = append(said, found)
			all = append(all, capital(ctxs[i])+": "+sayAll(found))
		}
	}
	alike := func(of []atlasGroup) bool { return slices.EqualFunc(of, said[0], atlasGroup.same) }
	switch {
	case len(said) == 0:
		return ""
	case len(said) > 1 && len(said) == len(ctxs) && alike(said[1]):
		return capital(prose.Or(ctxs)) + ": " + sayAll(groups(slices.Concat(columns...))) + "."
	}
	return strings.Join(all, ". ") + "."
}

func sayAll(of []atlasGroup) string {
	var all []string
	for _, g := range of {
		all = append(all, g.says())
	}
	return strings.Join(all, "; ")
}

// differs describes the calls that did something else on another network.
func (c atlasClient) differs(ctxs []string, home, network string) string {
	var columns [][]atlasEntry
	for _, ctx := range ctxs {
		before := map[string]results.Kind{}
		for _, e := range c.at("", ctx, home) {
			before[e.Strategy] = e.Kind
		}
		columns = append(columns, slices.DeleteFunc(c.at("", ctx, network), func(e atlasEntry) bool { return e.Kind == before[e.Strategy] }))
	}
	if text := sayColumns(ctxs, columns); text != "" {
		return text + " The others end as on " + home + "."
	}
	return "Each call ends as on " + home + "."
}

// leaves describes the most that the bounded calls left behind, and what the calls after
// them found.
func (c atlasClient) leaves() string {
	var call, backend, loser atlasEntry
	runs, closed, clean, dirty, unseen := 0, 0, 0, 0, 0
	for _, head := range c.Heads {
		for _, e := range c.at("", head.Ctx, head.Network) {
			runs, closed, dirty, clean = runs+e.Seen, closed+e.Closed, dirty+e.Dirty, clean+len(e.AtlasCell.Runs)
			if e.Call == results.RanOn && (call.AtlasCell == nil || *e.Straggle > *call.Straggle) {
				call = e
			}
			if e.Backend == results.RanOn && (backend.AtlasCell == nil || *e.Waste > *backend.Waste) {
				backend = e
			}
			if e.Backend == results.Unseen {
				unseen++
			}
			if e.Dirty > 0 {
				loser = e
			}
		}
	}
	var all []string
	if call.AtlasCell != nil {
		all = append(all, fmt.Sprintf("%s in this process for %s (`%s`)", prose.Count(max(1, call.Goroutines), "goroutine"), lasting(*call.Straggle), call.Strategy))
	}
	if backend.AtlasCell != nil {
		all = append(all, fmt.Sprintf("work in %s for %s (`%s`)", c.Backend, lasting(*backend.Waste), backend.Strategy))
	}
	text := "nothing that anybody could see"
	if len(all) > 0 {
		text = "at most " + prose.And(all)
	}
	if unseen > 0 {
		text += fmt.Sprintf("; of %s nobody could see when %s stopped", prose.Count(unseen, "cell"), c.Backend)
	}
	if closed > 0 {
		text += fmt.Sprintf("; %d of %d calls closed their connection", closed, runs)
	}
	if loser.AtlasCell == nil {
		return text + fmt.Sprintf("; all %d clean calls on the same pool completed afterwards.", clean)
	}
	return text + fmt.Sprintf("; %d of %d clean calls on the same pool failed afterwards (`%s`: %s).", dirty, clean, loser.Strategy, strings.TrimSuffix(loser.failure(), "."))
}

// failure is the error of a clean call that failed.
func (e atlasEntry) failure() string {
	for _, run := range e.AtlasCell.Runs {
		if !run.Clean {
			return run.Error
		}
	}
	return ""
}

// set describes what to set, by the calls on a network that ended well; "" is not known.
func (c atlasClient) set(ctxs []string, network string) string {
	aware := ctxs[0]
	clean := func(family strategies.Family, ctx string) []string {
		return namesOf(c.at(string(family), ctx, network), func(e atlasEntry) bool { return e.Clean() })
	}
	holds := func(e atlasEntry) bool {
		return e.Answer == results.OnTime && e.Call == results.Stopped && !e.Spoils
	}
	knob := func(family strategies.Family) string {
		if name := c.Settings[string(family)]; name != "" {
			return " (" + name + ")"
		}
		return ""
	}
	var all []string
	done := clean(strategies.AroundCall, aware)
	onTime := namesOf(c.at(string(strategies.AroundCall), aware, network), holds)
	switch {
	case len(done) > 0:
		all = append(all, "a context with a deadline"+knob(strategies.AroundCall)+" ends the call and all of its work, as under "+prose.Or(done))
	case len(onTime) > 0:
		all = append(all, "a context with a deadline"+knob(strategies.AroundCall)+" answers on time and ends the call here, as under "+prose.Or(onTime))
	case len(c.at(string(strategies.AroundCall), aware, network)) > 0:
		all = append(all, "no context ends this call")
	}
	if limit := clean(strategies.InBackend, aware); c.Backend != "" && len(done) == 0 {
		switch {
		case len(limit) > 0:
			all = append(all, "what ends the work in "+c.Backend+" is "+prose.Or(limit)+knob(strategies.InBackend))
		case c.Settings[string(strategies.InBackend)] != "":
			all = append(all, "limit the work in "+c.Backend+" as well, by "+c.Settings[string(strategies.InBackend)])
		case len(onTime) > 0 && len(clean("", aware)) == 0:
			all = append(all, "nothing here is known to end the work in "+c.Backend)
		}
	}
	if len(ctxs) > 1 {
		all = append(all, c.setDeaf(ctxs[1], network, knob, holds))
	}
	if all = slices.DeleteFunc(all, func(s string) bool { return s == "" }); len(all) == 0 {
		return ""
	}
	return capital(strings.Join(all, "; ")) + "."
}

// setDeaf describes what to set for calls that ignore their context; "" is nothing.
func (c atlasClient) setDeaf(deaf, network string, knob func(strategies.Family) string, holds func(atlasEntry) bool) string {
	if len(c.at("", deaf, network)) == 0 || len(namesOf(c.at(string(strategies.AroundCall), deaf, network), holds)) > 0 {
		return ""
	}
	own := namesOf(c.at(string(strategies.InsideClient), deaf, network), holds)
	onTime := func(e atlasEntry) bool { return e.Answer == results.OnTime }
	switch others, left := namesOf(c.at("", deaf, network), holds), namesOf(c.at("", deaf, network), onTime); {
	case len(own) > 0:
		return "a call that ignores its context is ended by the client's own timeout" + knob(strategies.InsideClient)
	case len(others) > 0 && slices.Equal(others, namesOf(c.at(string(strategies.InBackend), deaf, network), holds)):
		return "a call that ignores its context is ended by " + prose.Or(others) + knob(strategies.InBackend)
	case len(others) > 0:
		return "a call that ignores its context is ended by " + prose.Or(others)
	case len(left) > 0:
		return "a call that ignores its context goes on to its end, and only " + prose.Or(left) + plainVerb(left, " answers", " answer") + " on time"
	}
	return "nothing ends a call that ignores its context"
}

func plainVerb(names []string, one, more string) string {
	if len(names) == 1 {
		return one
	}
	return more
}

// namesOf returns the strategies of the entries for which is holds, quoted.
func namesOf(entries []atlasEntry, is func(atlasEntry) bool) (all []string) {
	for _, e := range entries {
		if is(e) {
			all = append(all, "`"+e.Strategy+"`")
		}
	}
	return all
}
