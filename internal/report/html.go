package report

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gotimeout/internal/machine"
	"gotimeout/internal/palette"
	"gotimeout/internal/results"
)

//go:embed page.html
var pageText string

var pageTemplate = sync.OnceValue(func() *template.Template { return template.Must(template.New("page").Parse(pageText)) })

// HTML writes a page that loads nothing: the verdict, whether the conditions hold, sentences
// made from the figures, pictures, tables, and how the comparison was measured. Its error is
// that of the writer.
func HTML(w io.Writer, r *results.Results, failIf ...Condition) error {
	var b bytes.Buffer // so that no part of a failed page is written
	p := newPage(r)
	p.Checked = p.checked(failIf)
	if err := pageTemplate().Execute(&b, p); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// page is the data for the template.
type page struct {
	Run       *results.Run
	Title     string
	Asked     string // one line
	Colours   template.CSS
	Checked   []sentence // the conditions; a serious one holds, or can't be judged
	Warnings  []sentence
	Galleries []gallery
	Heat      []heatMap
	Tables    []pageTable
	Columns   []results.Column
	PrintCSS  template.CSS
	Machines  []pageMachine
	Networks  []network
	Single    bool // there is one group, so one picture of each kind

	*account
}

// gallery is one kind of picture, with a picture for each group.
type gallery struct {
	ID, Heading, Text string
	Pictures          []template.HTML
}

func newPage(r *results.Results) *page {
	p := &page{
		Run: &r.Run, Colours: palette.Page, Columns: results.Columns(),
		account: newAccount(r),
	}
	p.ask(r)
	p.Warnings = p.warnings(r)
	p.draw()
	p.Heat = p.heat()
	p.tables()
	p.Networks = networks(r.Rows)
	p.Machines = machines(p.Run)
	p.Single = len(p.groups) == 1
	return p
}

// draw makes the pictures, in the order of the page.
func (p *page) draw() {
	kinds := []struct {
		gallery
		of func(*results.Group) *picture
	}{
		{gallery{ID: "lanes", Heading: "When it was over", Text: "The calls of the longest delay: when the caller was answered, when the op ended in this process, and when the backend stopped working on the call. A bar that reaches beyond the answer is work for nobody."}, lanesOf},
		{gallery{ID: "latency", Heading: "How long callers waited", Text: "Every request, whatever its answer: the curve shows within what time each percentage of the requests was answered. To the right each further nine takes as much room. A curve that goes past the timeout belongs to a bound that did not bind."}, latencyOf},
		{gallery{ID: "timelines", Heading: "What there was at each moment", Text: "Goroutines and connections of the lab during the load, while the work drained, and under clean calls afterwards. A line that stays high in the end shows what was left behind. The figures: before the load, the highest until all work had ended, and in the end."}, timelinesOf},
	}
	for _, kind := range kinds {
		for i, g := range p.groups {
			kind.Pictures = append(kind.Pictures, kind.of(g).svg(fmt.Sprintf("%s-%d", kind.ID, i+1)))
		}
		if len(kind.Pictures) > 0 {
			p.Galleries = append(p.Galleries, kind.gallery)
		}
	}
}

// pageTable is the table of a group: a row for each strategy, and the floor.
type pageTable struct {
	Number  int
	Caption string
	About   string // the delays, and the time of a call alone
	Rows    []pageRow
	Floor   *pageRow
}

type pageRow struct {
	ID, Strategy, Family string
	Colour               int
	Sure                 string // what the row's figures are of
	Notes                []string
	Cells                []pageCell
}

// pageCell is a figure: its text, and the number to sort by, "" if it is not known.
type pageCell struct{ Text, Value, Why string }

func (p *page) tables() {
	for i, g := range p.groups {
		t := pageTable{Number: i + 1, Caption: p.where(g.Key), About: about(g)}
		for _, r := range g.Rows {
			t.Rows = append(t.Rows, p.row(p.ids[r], r))
		}
		if g.Floor != nil {
			floor := p.row(floorID(i), g.Floor)
			floor.Colour = -1 // no strategy's
			floor.Family = "calls of " + settings(g.Floor.Delays)
			if onNetwork(g.Floor) {
				floor.Family += " over " + g.Floor.Network
			}
			t.Floor = &floor
		}
		p.Tables = append(p.Tables, t)
	}
	p.PrintCSS = printed()
}

func (p *page) row(id string, r *results.Row) pageRow {
	t := pageRow{ID: id, Strategy: r.Strategy, Family: r.Family, Colour: colourOf(r), Sure: sure(r), Notes: r.Notes}
	for place := range results.Columns() {
		t.Cells = append(t.Cells, p.cell(r, place))
	}
	return t
}

// sure returns how many calls and repeats the figures of a row are of, and how sure its share
// of calls that ran on is.
func sure(r *results.Row) string {
	text := plural(float64(requestsOf(results.Requests)(judged{Row: r}).of), "request")
	if n := len(r.Repeats); n > 1 {
		text += fmt.Sprintf(" in %d repeats", n)
	}
	if r.TimedOut == 0 {
		return text
	}
	text += ", " + digits(float64(r.TimedOut)) + " timed out"
	if r.Seen == 0 {
		return text
	}
	low, high := results.Wilson(r.RanOn, r.Seen)
	return text + fmt.Sprintf("; %s to %s run on (95%%)", strings.TrimSuffix(inPercent(low), "%"), inPercent(high))
}

func (p *page) cell(r *results.Row, place int) pageCell {
	switch shown(p.results, r, place) {
	case "-":
		return pageCell{Text: "–", Why: "there is no such figure"}
	case "?":
		return pageCell{Text: "?", Why: "nobody could see it"}
	}
	v := *r.Figures[place]
	return pageCell{Text: digits(v), Value: strconv.FormatFloat(v, 'g', 8, 64)}
}

// about returns what the rows of a group have in common.
func about(g *results.Group) string {
	if len(g.Rows) == 0 {
		return ""
	}
	r := g.Rows[0]
	if r.Own != "" {
		return fmt.Sprintf("Timeout %s; calls of %s.", setting(g.Timeout), callsOf(r))
	}
	each := make([]string, len(r.Delays))
	for i, d := range r.Delays {
		each[i] = setting(d)
		if i < len(r.Nominal) && d < g.Timeout { // no call of a longer delay was made
			each[i] += " (alone " + millis(r.Nominal[i]) + ")"
		}
	}
	slices.Sort(each)
	each = slices.Compact(each)
	return fmt.Sprintf("Timeout %s; calls of %s.", setting(g.Timeout), strings.Join(each, ", "))
}

// printed returns CSS that puts the column's name beside each figure, because in print a
// row is a paragraph.
func printed() template.CSS {
	var b strings.Builder
	for i, c := range results.Columns() {
		fmt.Fprintf(&b, ".figures td:nth-child(%d)::before{content:%q}", i+2, strings.TrimSpace(c.Title+" "+c.Unit)+": ")
	}
	return template.CSS(b.String())
}

// heatMap shows a column over all groups: a row for each strategy, a cell for each group.
type heatMap struct {
	Caption, Text string
	Heads         []string
	Rows          []heatRow
}

type heatRow struct {
	Strategy string
	Colour   int
	Cells    []heatCell
}

// heatCell is a figure and how hot it is, from 0 to 100.
type heatCell struct {
	pageCell
	Href string
	Heat int
}

func (p *page) heat() (maps []heatMap) {
	if len(p.groups) == 0 {
		return nil
	}
	for _, of := range []struct {
		place         int
		caption, text string
	}{
		{results.OvershootP99, "Overshoot, p99", "ms: answered − timeout"},
		{results.WastePer1000, "Waste", "backend seconds for nobody per 1,000 requests"},
	} {
		m := heatMap{Caption: of.caption, Text: of.text}
		for _, g := range p.groups {
			m.Heads = append(m.Heads, p.where(g.Key))
			for _, r := range g.Rows {
				if !slices.ContainsFunc(m.Rows, func(h heatRow) bool { return h.Strategy == r.Strategy }) {
					m.Rows = append(m.Rows, heatRow{Strategy: r.Strategy, Colour: colourOf(r)})
				}
			}
		}
		for i := range m.Rows {
			for _, g := range p.groups {
				m.Rows[i].Cells = append(m.Rows[i].Cells, p.heatCell(g, m.Rows[i].Strategy, of.place))
			}
		}
		maps = append(maps, m)
	}
	return maps
}

func (p *page) heatCell(g *results.Group, strategy string, place int) heatCell {
	for _, r := range g.Rows {
		if r.Strategy == strategy {
			return heatCell{p.cell(r, place), "#" + p.ids[r], hot(judged{r, g.Floor, p.Run}.beyond(place, 0))}
		}
	}
	return heatCell{pageCell: pageCell{Text: "", Why: "not run"}}
}

// hot is 0 up to 1, which may be the machine's noise, and 100 from 1,000 on, on a
// logarithmic scale.
func hot(beyond float64) int {
	if beyond <= 1 {
		return 0
	}
	return int(min(100, 100*math.Log10(beyond)/3))
}

// ask sets the line with the settings of the comparison.
func (p *page) ask(r *results.Results) {
	var names, ops, ctxs, networks, timeouts, delays []string
	add := func(to *[]string, s string) {
		if s != "" && !slices.Contains(*to, s) {
			*to = append(*to, s)
		}
	}
	for _, g := range p.groups {
		add(&ops, g.Op)
		add(&ctxs, g.Ctx)
		add(&networks, g.Network)
		add(&timeouts, setting(g.Timeout))
		for _, row := range g.Rows {
			add(&names, row.Strategy)
			add(&delays, callsOf(row))
		}
	}
	if len(p.groups) == 0 {
		p.Title, p.Asked = "Timeouts compared", nothingToShow(r)
		return
	}
	list := func(s []string) string { return strings.Join(s, ", ") }
	p.Title = "Timeouts compared: " + list(ops)
	p.Asked = fmt.Sprintf("%s on %s (%s), network %s, under a timeout of %s; calls of %s in turn, %s requests a second for %s",
		plural(float64(len(names)), "strategy"), list(ops), list(ctxs), list(networks), list(timeouts),
		strings.Join(delays, "; or "), digits(r.Run.Rate), setting(r.Run.Duration))
	if r.Run.Repeat > 1 {
		p.Asked += fmt.Sprintf(", %d times", r.Run.Repeat)
	}
	if !r.Run.Started.IsZero() {
		p.Asked += ". " + r.Run.Started.UTC().Format("2 January 2006, 15:04 ") + time.UTC.String()
	}
	p.Asked += "."
}

// pageMachine is the machine of the lab or of the load.
type pageMachine struct {
	Role  string
	Facts []fact
}

type fact struct{ Name, Value string }

// modules are the modules that affect the figures.
var modules = []string{
	"github.com/go-chi/chi/v5", "github.com/bradfitz/gomemcache", "github.com/go-sql-driver/mysql",
	"github.com/mccutchen/go-httpbin/v2", "golang.org/x/sync", "github.com/tsenart/vegeta/v12",
}

// machines returns the machines of the lab and of the load, or one if they are the same.
func machines(run *results.Run) []pageMachine {
	lab, load := machineOf("The lab's machine", run.Lab), machineOf("The load's machine", run.Machine)
	if slices.Equal(lab.Facts, load.Facts) {
		lab.Role = "The machine of the lab and the load"
		return []pageMachine{lab}
	}
	return []pageMachine{lab, load}
}

func machineOf(role string, m machine.Machine) pageMachine {
	of := pageMachine{Role: role}
	add := func(name, value string) { of.Facts = append(of.Facts, fact{name, cmp.Or(value, "?")}) }
	add("system", m.OS)
	add("kernel", m.Kernel)
	add("CPU", m.CPU)
	add("processors", map[bool]string{true: digits(float64(m.Processors))}[m.Processors > 0])
	add("Go", m.Go)
	add("gotimeout", m.Version)
	for _, path := range modules {
		if version := m.Modules[path]; version != "" {
			add(strings.TrimPrefix(path, "github.com/"), version)
		}
	}
	return of
}

// network is a profile and its measured round trip.
type network struct{ Name, Driver, RoundTrip string }

func networks(rows []*results.Row) (all []network) {
	for _, r := range rows {
		n := network{cmp.Or(r.Network, "none"), cmp.Or(r.Driver, "none"), "?"}
		if n.Name == "none" {
			n.RoundTrip = "no network between"
		}
		if r.RoundTrip != nil {
			n.RoundTrip = millis(*r.RoundTrip)
		}
		if !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

// warnings adds the sentences that limit what the figures tell.
func (p *page) warnings(r *results.Results) (all []sentence) {
	text := func(s string) []part { return []part{{Text: s}} }
	if slow, ms := latest(r); ms > bottleneck && len(p.groups) > 0 {
		all = append(all, sentence{true, []part{
			{Text: "The load generator was the bottleneck: requests of "}, p.link(slow),
			{Text: fmt.Sprintf(" were sent %s after they were due (p99), and times count from then. Ask for a lower rate, or run the lab on another machine.", millis(ms))},
		}})
	}
	switch {
	case len(p.groups) == 0: // the page has a sentence on why there is nothing to show
	case r.Interrupted:
		all = append(all, sentence{true, text("The comparison was interrupted: rows are missing, or of fewer repeats.")})
	case !r.Complete:
		all = append(all, sentence{true, text("The records end before the comparison did: rows are missing, or of fewer repeats.")})
	}
	for _, row := range r.Rows {
		if len(p.groups) == 0 && len(row.Repeats) > 0 {
			continue // the page shows no figure of it
		}
		for _, note := range row.Notes {
			all = append(all, sentence{false, []part{p.link(row), {Text: ": " + note + "."}}})
		}
	}
	return all
}
