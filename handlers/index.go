package handlers

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
)

//go:embed page
var pageFiles embed.FS

// What the page is made of. It comes as one answer: nothing of it is loaded
// from anywhere, and its policy lets nothing else run.
var (
	indexTemplate = template.Must(template.ParseFS(pageFiles, "page/*.html")).Lookup("page.html")
	indexStyle    = pageFile("page.css")
	indexScript   = pageFile("words.js", "lanes.js", "race.js", "now.js", "network.js", "phases.js", "start.js")
	indexPolicy   = strings.Join([]string{
		"default-src 'none'", "style-src " + hashOf(indexStyle), "script-src " + hashOf(indexScript), "connect-src 'self'",
		"img-src data:", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
	}, "; ")
)

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

// index serves the page to a browser, and to others what fits a terminal.
func (l *Lab) index(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		writeIndex(w, l, base(r))
		return
	}
	var page bytes.Buffer
	if err := indexTemplate.Execute(&page, l.newIndexView(r)); err != nil {
		panic(err) // only a field that is not there, which any test finds
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", indexPolicy)
	_, _ = page.WriteTo(w)
}
