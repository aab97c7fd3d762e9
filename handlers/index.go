package handlers

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"strings"
)

//go:embed index.html
var indexHTML string

var indexPage = template.Must(template.New("index").Parse(indexHTML))

// index serves the page of links: the baseline first, to feel how slow it is.
func (l *Lab) index(w http.ResponseWriter, r *http.Request) {
	var page bytes.Buffer
	if err := indexPage.Execute(&page, struct {
		*Lab
		Host string
	}{l, r.Host}); err != nil {
		panic(err) // only a field that is not there, which any test finds
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = page.WriteTo(w)
}

// Between describes the network to the backends, "" where nothing lies between.
func (l *Lab) Between() string { return described(l.pathOf(l.Ops[0])) }

// Delays says that an op can be slow.
func (op Op) Delays() bool { return op.NoDelay == "" }

// Choices are the parameters of an op beyond those that all have.
func (op Op) Choices() string {
	var choices []string
	if len(op.Works) > 0 {
		choices = append(choices, "work="+strings.Join(op.Works, "|"))
	}
	if len(op.Backends) > 0 {
		choices = append(choices, "backend="+strings.Join(op.Backends, "|"))
	}
	if len(op.Targets) > 0 {
		names := make([]string, len(op.Targets))
		for i, t := range op.Targets {
			names[i] = t.Name
		}
		choices = append(choices, "target="+strings.Join(names, "|"))
	}
	return strings.Join(choices, " ")
}
