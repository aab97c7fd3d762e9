package handlers_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"gotimeout/handlers"
)

// browse gets a page as a browser does.
func browse(t *testing.T, lab *handlers.Lab, target string) (*html.Node, http.Header) {
	t.Helper()
	r := request(t.Context(), http.MethodGet, target)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	return page(t, lab, r)
}

func page(t *testing.T, lab *handlers.Lab, r *http.Request) (*html.Node, http.Header) {
	t.Helper()
	w := serve(lab, r)
	checkStatus(t, w, http.StatusOK)
	if got := w.Header().Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Fatalf("Content-Type %q", got)
	}
	links(t, w.Body.Bytes()) // its tags are in pairs
	text := w.Body.String()
	if strings.Contains(text, "ZgotmplZ") {
		t.Error("a value was unsafe where it stands")
	}
	root, err := html.Parse(bytes.NewReader(w.Body.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return root, w.Header()
}

// links returns the links of a page, whose tags must be in pairs.
func links(t *testing.T, page []byte) (hrefs []string) {
	t.Helper()
	void := []string{"meta", "link", "br", "img", "input", "hr"}
	var open []string
	tokens := html.NewTokenizer(bytes.NewReader(page))
	for {
		kind := tokens.Next()
		tag := tokens.Token()
		switch {
		case kind == html.ErrorToken:
			if len(open) > 0 {
				t.Errorf("%v not closed", open)
			}
			return hrefs
		case kind == html.StartTagToken && !slices.Contains(void, tag.Data):
			open = append(open, tag.Data)
		case kind == html.EndTagToken && !slices.Contains(void, tag.Data):
			if len(open) == 0 || open[len(open)-1] != tag.Data {
				t.Fatalf("</%s> in %v", tag.Data, open)
			}
			open = open[:len(open)-1]
		}
		for _, attr := range tag.Attr {
			if attr.Key == "href" {
				hrefs = append(hrefs, attr.Val)
			}
		}
	}
}

// all are the elements of a name.
func all(root *html.Node, name string) (nodes []*html.Node) {
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data == name {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// words is the text of an element, as it is read.
func words(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
