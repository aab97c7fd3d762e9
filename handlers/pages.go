package handlers

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
	"sync"

	"gotimeout/internal/palette"
)

//go:embed page
var pageFiles embed.FS

// pages are what the pages are made of, which is read when the first one is. Each page
// is one answer: it loads nothing, and its Content-Security-Policy lets nothing else run.
var pages = sync.OnceValue(func() (p struct {
	templates *template.Template
	policy    string
}) {
	indexStyle := palette.Page + pageFile("page.css")
	plainStyle := palette.Page + pageFile("plain.css")
	script := pageFile("shared.js", "recorded.js", "lanes.js", "race.js", "beside.js", "code.js", "gauges.js", "network.js", "phases.js", "start.js")
	p.templates = template.Must(template.New("").Funcs(template.FuncMap{
		"indexStyle": func() template.CSS { return template.CSS(indexStyle) },
		"plainStyle": func() template.CSS { return template.CSS(plainStyle) },
		"script":     func() template.JS { return template.JS(script) },
		"figure":     pageFigure,
	}).ParseFS(pageFiles, "page/*.html"))
	p.policy = strings.Join([]string{
		"default-src 'none'", "style-src " + hashOf(indexStyle) + " " + hashOf(plainStyle), "script-src " + hashOf(script), "connect-src 'self'",
		"img-src data:", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
	}, "; ")
	return p
})

// pageFile returns files of the page, one after another.
func pageFile(names ...string) string {
	var all strings.Builder
	for _, name := range names {
		text, err := pageFiles.ReadFile("page/" + name)
		if err != nil {
			panic(err) // only a wrong name, which any test finds
		}
		all.Write(text)
	}
	return all.String()
}

// hashOf names a text in a Content-Security-Policy.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// pageFigure formats a time in milliseconds. An unknown time is "…" while its run goes on,
// since it may still become known.
func pageFigure(ms *float64, complete bool) string {
	if ms == nil && !complete {
		return "…"
	}
	return figure(ms, "?")
}

// wantsPage reports whether the caller reads HTML, as a browser does and curl and
// programs don't. The answer then depends on Accept, so it gets a Vary header.
func wantsPage(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Vary", "Accept")
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "text/html") && !strings.Contains(accept, "application/json")
}

// writePage answers with the page of a template.
func writePage(w http.ResponseWriter, status int, name string, view any) {
	var page bytes.Buffer
	if err := pages().templates.ExecuteTemplate(&page, name, view); err != nil {
		panic(err) // only a field that is not there, which any test finds
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pages().policy)
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	_, _ = page.WriteTo(w) // fails only when the caller has left
}
