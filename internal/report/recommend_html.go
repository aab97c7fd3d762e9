package report

import (
	"bytes"
	_ "embed"
	"html/template"
	"io"

	"gotimeout/internal/results"
)

//go:embed recommend.html
var recommendText string

var recommendTemplate = template.Must(template.New("recommend").Funcs(template.FuncMap{
	"millis": millis, "percent": inPercent, "digits": digits, "interval": intervalOf, "orUnknown": orUnknown,
	"count": func(n int) string { return digits(float64(n)) },
}).Parse(recommendText))

// recommendPage is what the template reads.
type recommendPage struct {
	*results.Recommendation
	Title     string
	Colours   template.CSS
	Sentences []string
	Verdicts  []struct{ Strategy, Text string }
	Dials     string
	Pictures  []template.HTML
	Words     string
	Made      string
}

// RecommendationHTML writes a recommendation as a page that needs nothing else:
// the same sentences and figures as Recommendation's, and the curves as pictures.
// Its error is that of the writer.
func RecommendationHTML(w io.Writer, r *results.Recommendation) error {
	p := recommendPage{
		Recommendation: r, Title: "A timeout for " + where(r.Sample.Key), Colours: template.CSS(pictureColours),
		Sentences: recommendSentences(r), Dials: dialSentence(r), Words: sweepWords, Made: origin(r.Of),
	}
	for _, v := range r.Verdict {
		p.Verdicts = append(p.Verdicts, struct{ Strategy, Text string }{v.At.Strategy, verdictOf(r, v)})
	}
	if len(r.Sweep) > 0 {
		p.Pictures = []template.HTML{template.HTML(sharesOf(r).svg("shares", "")), template.HTML(wasteOf(r).svg("waste", ""))}
	}
	var b bytes.Buffer // so that nothing goes out of a page that failed
	if err := recommendTemplate.Execute(&b, p); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}
