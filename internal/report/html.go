package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"gotimeout/internal/results"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// HTML writes a page that needs nothing else: sentences made from the figures,
// pictures, tables, and how it was measured. Its error is that of the writer.
func HTML(w io.Writer, r *results.Results) error {
	var b bytes.Buffer // so that nothing goes out of a page that failed
	if err := pageTemplate.Execute(&b, newPage(r)); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// page is what the template reads.
type page struct {
	Run       *results.Run
	Title     string
	Asked     string // one line
	Colours   template.CSS
	Warnings  []sentence
	Sentences []sentence
	Galleries []gallery
	Heat      []heatMap
	Tables    []pageTable
	Columns   []results.Column
	PrintCSS  template.CSS
	Machines  []pageMachine
	Networks  []network

	results *results.Results
	groups  []*results.Group
	ids     map[*results.Row]string
	several struct{ timeouts bool }
}

// gallery is one kind of picture, a picture a group.
type gallery struct {
	ID, Heading, Text string
	Pictures          []template.HTML
}

func newPage(r *results.Results) *page {
	p := &page{
		Run: &r.Run, Colours: pictureColours, Columns: results.Columns(),
		results: r, groups: r.Groups(), ids: map[*results.Row]string{},
	}
	for i, g := range p.groups {
		for k, row := range g.Rows {
			p.ids[row] = fmt.Sprintf("g%d-r%d", i+1, k+1)
		}
		if g.Floor != nil && p.ids[g.Floor] == "" {
			p.ids[g.Floor] = floorID(i)
		}
		p.several.timeouts = p.several.timeouts || g.Timeout != p.groups[0].Timeout
	}
	p.ask(r)
	p.Warnings = p.warnings(r)
	p.Sentences = p.sentences()
	p.draw()
	p.Heat = p.heat()
	p.tables()
	p.Networks = networks(r.Rows)
	p.Machines = machines(p.Run)
	return p
}

// floorID is that of the floor's row in the table of a group.
func floorID(group int) string { return fmt.Sprintf("g%d-floor", group+1) }

// where is the group's name on this page.
func (p *page) where(k results.Key) string {
	s := where(k)
	if p.several.timeouts {
		s += ", " + setting(k.Timeout)
	}
	return s
}

// draw makes the pictures, in the order of the page.
func (p *page) draw() {
	kinds := []struct {
		gallery
		of func(*results.Group) *picture
	}{
		{gallery{ID: "lanes", Heading: "When it was over", Text: "The calls of the longest delay: when the caller was answered, when the op had ended here, and when the backend stopped working on it. What reaches beyond the answer is work for nobody."}, lanesOf},
		{gallery{ID: "latency", Heading: "How long callers waited", Text: "Every request, whatever its answer: so many percent had it within so long. To the right each further nine takes as much room. A line that goes past the timeout is of a bound that did not bind."}, latencyOf},
		{gallery{ID: "timelines", Heading: "What there was at each moment", Text: "Goroutines and connections of the lab during the load, while it drained, and under clean calls afterwards. What stays high in the end was left behind. Figures: before, at most until all had ended, in the end."}, timelinesOf},
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
