package handlers_test

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"gotimeout/handlers"
	"gotimeout/strategies"
)

// The golden page is of two strategies, so that the others' docs don't change it.
func TestIndex(t *testing.T) {
	lab := newLab(roomy)
	lab.Strategies = []strategies.Strategy{
		{Name: "baseline", Family: strategies.Unbounded, Doc: "Waits."},
		{Name: "other", Family: strategies.AroundCall, Doc: `Doesn't <wait> & "goes".`},
	}
	w := get(t, lab, "/")
	checkStatus(t, w, http.StatusOK)
	if got := w.Header().Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
	golden(t, "index.html", w.Body.Bytes())
}

// Every link of the page is served, each strategy has one for each op, and the
// first is the baseline, to feel how slow it is.
func TestIndexLinks(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		got := links(t, get(t, lab, "/").Body.Bytes())
		var want []string
		for _, s := range lab.Strategies {
			want = append(want, "/"+s.Name)
			for _, op := range lab.Ops {
				want = append(want, "/"+s.Name+"?op="+op.Name)
			}
		}
		for _, op := range lab.Ops {
			want = append(want, "/compare?op="+op.Name)
		}
		want = append(want, "/receipts", "/backends", "/network", "/lab")
		if !slices.Equal(got, want) || got[0] != "/baseline" {
			t.Errorf("links\n%v, want\n%v", got, want)
		}
		for _, link := range got {
			if w := get(t, lab, link); w.Code == http.StatusNotFound || w.Code == http.StatusBadRequest {
				t.Errorf("%s: status %d", link, w.Code)
			}
		}
	})
}

// links returns the links of a page, whose tags must be in pairs.
func links(t *testing.T, page []byte) (hrefs []string) {
	t.Helper()
	void := []string{"meta", "link", "br", "img", "input", "hr"}
	var open []string
	for dec := xml.NewDecoder(bytes.NewReader(page)); ; {
		token, err := dec.RawToken()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("in %v: %v", open, err)
		}
		switch tag := token.(type) {
		case xml.StartElement:
			if !slices.Contains(void, tag.Name.Local) {
				open = append(open, tag.Name.Local)
			}
			for _, attr := range tag.Attr {
				if attr.Name.Local == "href" {
					hrefs = append(hrefs, attr.Value)
				}
			}
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != tag.Name.Local {
				t.Fatalf("</%s> in %v", tag.Name.Local, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("%v not closed", open)
	}
	return hrefs
}

// What the caller sends is not put into the page as it is.
func TestIndexEscapes(t *testing.T) {
	r := request(t.Context(), http.MethodGet, "/")
	r.Host = `x'"><script>`
	page := serve(newLab(roomy), r).Body.String()
	if strings.Contains(page, "<script>") {
		t.Error("the Host is in the page as it is")
	}
	links(t, []byte(page))
}
