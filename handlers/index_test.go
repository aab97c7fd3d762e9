package handlers_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gotimeout/handlers"
	"gotimeout/internal/golden"
	"gotimeout/internal/palette"
	"gotimeout/internal/report"
	"gotimeout/internal/results"
	"gotimeout/strategies"

	"golang.org/x/net/html"
)

// The golden text has two strategies, so that the docs of the others don't change it.
func TestIndexText(t *testing.T) {
	lab := newLab(roomy)
	lab.Strategies = []strategies.Strategy{
		{Name: "baseline", Family: strategies.NoFamily, Unbounded: true, Doc: "Waits."},
		{Name: "other", Family: strategies.AroundCall, Doc: `Doesn't <wait> & "goes".` + strings.Repeat(" On and on", 9)},
	}
	for _, accept := range []string{"", "*/*", "application/json"} {
		r := request(t.Context(), http.MethodGet, "/")
		r.Header.Set("Accept", accept)
		w := serve(lab, r)
		checkStatus(t, w, http.StatusOK)
		if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
			t.Errorf("Accept %q: Content-Type %q", accept, got)
		}
		golden.Check(t, "index.txt", w.Body.Bytes())
		for line := range strings.Lines(w.Body.String()) {
			if len(line) > 81 {
				t.Errorf("wider than 80 columns: %s", line)
			}
		}
	}
}

// The lab serves every link of the page, and each strategy has a link for each op. The
// first link to a run is the baseline, which shows how slow the call is.
func TestIndexLinks(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Ops[0].Targets = []handlers.Target{{Name: "slow"}, {Name: "slow-tls", TLS: true}, {Name: "fine", Sound: true}}
		root, _ := browse(t, lab, "/")
		var got []string
		for _, a := range all(root, "a") {
			if to := attribute(a, "href"); to[0] != '#' {
				got = append(got, to)
			} else if !slices.ContainsFunc(all(root, "section"), func(s *html.Node) bool { return "#"+attribute(s, "id") == to }) {
				t.Errorf("the link %s has no target", to)
			}
		}
		want := []string{
			"/receipts", "/backends", "/network", "/lab",
			"/io-timeout?connect_timeout=200ms&delay=200ms&header_timeout=400ms&read_timeout=500ms&target=fine&timeout=1s",
			"/io-timeout?connect_timeout=200ms&delay=2s&header_timeout=400ms&read_timeout=500ms&target=slow-tls&timeout=1s&tls_timeout=300ms",
		}
		for _, op := range lab.Ops {
			want = append(want, "/compare?op="+op.Name)
			for _, s := range lab.Strategies {
				want = append(want, "/"+s.Name)
				if s.Suits(op.Name) {
					want = append(want, "/"+s.Name+"?op="+op.Name)
				}
			}
		}
		for _, link := range want {
			if !slices.Contains(got, link) {
				t.Errorf("there is no link to %s", link)
			}
		}
		if got[0] != "/baseline" {
			t.Errorf("the first link is %s", got[0])
		}
		for _, link := range got {
			if w := get(t, lab, link); w.Code == http.StatusNotFound || w.Code == http.StatusBadRequest {
				t.Errorf("%s: status %d", link, w.Code)
			}
		}
	})
}

// A browser gets the page compressed, and it is small without that too. A program gets
// JSON as it is.
func TestIndexIsSmall(t *testing.T) {
	ask := func(path string, header ...string) *httptest.ResponseRecorder {
		r := request(t.Context(), http.MethodGet, path)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return serve(newLab(roomy), r)
	}
	plain := ask("/", "Accept", "text/html").Body.String()
	if len(plain) > 120_000 {
		t.Errorf("the page has %d bytes", len(plain))
	}
	w := ask("/", "Accept", "text/html", "Accept-Encoding", "gzip, deflate, br")
	if n := w.Body.Len(); n > len(plain)/2 {
		t.Errorf("%d bytes of %d", n, len(plain))
	}
	if vary := w.Header()["Vary"]; !slices.Equal(vary, []string{"Accept", "Accept-Encoding"}) {
		t.Errorf("Vary: %q", vary)
	}
	unzipped, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(unzipped); err != nil || !strings.HasSuffix(strings.TrimSpace(string(text)), "</html>") {
		t.Errorf("%v, of %d bytes", err, len(text))
	}
	if w := ask("/receipts", "Accept-Encoding", "gzip"); w.Header().Get("Content-Encoding") != "" || !strings.HasPrefix(w.Body.String(), "{") {
		t.Errorf("JSON: %v", w.Header())
	}
}

// The page has only its own style and script, and the policy allows no others.
func TestIndexPolicy(t *testing.T) {
	root, header := browse(t, newLab(roomy), "/")
	policy := header.Get("Content-Security-Policy")
	for _, name := range []string{"style", "script"} {
		elements := all(root, name)
		if len(elements) != 1 {
			t.Fatalf("%d elements %s", len(elements), name)
		}
		sum := sha256.Sum256([]byte(elements[0].FirstChild.Data))
		if want := name + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %s: %s", want, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || !strings.HasPrefix(policy, "default-src 'none'") {
		t.Errorf("the policy allows too much: %s", policy)
	}
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "style" || a.Key == "src" || strings.HasPrefix(a.Key, "on") || strings.HasPrefix(a.Val, "http:") || strings.HasPrefix(a.Val, "https:") || strings.HasPrefix(a.Val, "//") {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
	}
}

// The page escapes the values that the caller sends.
func TestIndexEscapes(t *testing.T) {
	hostile := `x'"><script>alert(1)</script>`
	for _, parameter := range []string{"delay", "timeout", "network"} {
		r := request(t.Context(), http.MethodGet, "/?"+parameter+"="+url.QueryEscape(hostile))
		r.Host = hostile
		r.Header.Set("Accept", "text/html")
		root, _ := page(t, newLab(roomy), r)
		if n := len(all(root, "script")); n != 1 {
			t.Errorf("%s: %d scripts", parameter, n)
		}
	}
	for _, parameter := range []string{"op", "ctx", "work", "backend", "target", "race", "x"} {
		r := request(t.Context(), http.MethodGet, "/?"+parameter+"="+url.QueryEscape(hostile))
		r.Host = hostile
		r.Header.Set("Accept", "text/html")
		if w := serve(newLab(roomy), r); w.Code != http.StatusBadRequest || strings.Contains(w.Body.String(), "<script") {
			t.Errorf("%s: %d %s", parameter, w.Code, w.Body)
		}
	}
}

// The form has the values of the address, also durations that the lab would refuse.
func TestIndexAsked(t *testing.T) {
	for name, test := range map[string]struct{ address, op, delay, timeout, ctx, curl string }{
		"nothing":   {"/", "db", "2s", "500ms", "aware", "op=db&delay=2s&timeout=500ms&ctx=aware&work=sleep"},
		"a race":    {"/?op=http&delay=3s&timeout=1.5&ctx=deaf&backend=deaf&race=1", "http", "3s", "1.5", "deaf", "op=http&delay=3s&timeout=1.5s&ctx=deaf&backend=deaf"},
		"no delay":  {"/?op=cache", "cache", "2s", "500ms", "aware", "op=cache&delay=0s&timeout=500ms&ctx=aware"},
		"too long":  {"/?delay=99h", "db", "99h", "500ms", "aware", "op=http&delay=5s&timeout=1s&ctx=aware&backend=aware"},
		"a network": {"/?op=db&network=3g", "db", "2s", "500ms", "aware", "op=db&delay=2s&timeout=500ms&ctx=aware&work=sleep"},
	} {
		t.Run(name, func(t *testing.T) {
			root, _ := browse(t, newLab(roomy), test.address)
			fields := map[string]string{}
			for _, input := range all(root, "input") {
				fields[attribute(input, "name")] = attribute(input, "value")
			}
			for _, s := range all(root, "select") {
				for i, option := range all(s, "option") {
					if i == 0 || slices.Contains(option.Attr, html.Attribute{Key: "selected"}) {
						fields[attribute(s, "name")] = option.FirstChild.Data
					}
				}
			}
			if fields["op"] != test.op || fields["delay"] != test.delay || fields["timeout"] != test.timeout || fields["ctx"] != test.ctx {
				t.Errorf("the form has %v", fields)
			}
			for _, code := range all(root, "code") {
				if want := "curl 'http://example.com/compare?" + test.curl + "'"; attribute(code, "id") == "curl" && code.FirstChild.Data != want {
					t.Errorf("%s, not %s", code.FirstChild.Data, want)
				}
			}
		})
	}
}

// A visitor that may not change the network sees the reason, and no controls for it.
func TestIndexNetwork(t *testing.T) {
	_, network := onNetwork(t)
	for name, test := range map[string]struct {
		network handlers.Network
		from    string
		want    string // the reason; "" if the visitor may change the network
	}{
		"here":    {network, "127.0.0.1:1", ""},
		"remote":  {network, "192.0.2.1:1", "the network is changed from this machine"},
		"without": {nil, "127.0.0.1:1", "this lab has no network to change"},
	} {
		t.Run(name, func(t *testing.T) {
			lab := newLab(roomy)
			lab.Network = test.network
			r := request(t.Context(), http.MethodGet, "http://127.0.0.1/")
			r.RemoteAddr = test.from
			r.Header.Set("Accept", "text/html")
			root, _ := page(t, lab, r)
			var text strings.Builder
			_ = html.Render(&text, root)
			if may := len(all(root, "form")) == 2; may != (test.want == "") || !strings.Contains(text.String(), test.want) {
				t.Errorf("the visitor may: %v; want %q in the page", may, test.want)
			}
		})
	}
}

// A public lab offers nothing that it refuses, and says how to run one's own. One without
// a network says how to start one with it.
func TestIndexPublic(t *testing.T) {
	own := new(handlers.OwnCall)
	for name, test := range map[string]struct {
		public   bool
		has, not []string
	}{
		"public": {true,
			[]string{">×10<", ">go run ./cmd/gotimeout<", ">go run ./cmd/gotimeout --network cross-region<", ">go run ./cmd/gotimeout compare --ops db --ctx aware --timeout 500ms --delay 2s<", `data-once="yes"`},
			[]string{"--url", "×100", `id="change"`}},
		"one's own": {false,
			[]string{">×100<", "gotimeout compare --url", ">go run ./cmd/gotimeout --network cross-region<", "no network to change"},
			[]string{">go run ./cmd/gotimeout<", `data-once="yes"`}},
	} {
		t.Run(name, func(t *testing.T) {
			lab := newLab(roomy)
			lab.Public = test.public
			lab.Ops[len(lab.Ops)-1].MakesOwn, lab.Ops[len(lab.Ops)-1].Own = true, own
			r := request(t.Context(), http.MethodGet, "/?op=db")
			r.Header.Set("Accept", "text/html")
			text := serve(lab, r).Body.String()
			text, _, _ = strings.Cut(text, "<script")
			_, text, _ = strings.Cut(text, "</style>")
			for _, want := range test.has {
				if n := strings.Count(text, want); n != 1 {
					t.Errorf("%q is there %d times", want, n)
				}
			}
			for _, not := range test.not {
				if strings.Contains(text, not) {
					t.Errorf("%q is there", not)
				}
			}
		})
	}
}

// The page and the report of a comparison have the same colours.
func TestIndexColours(t *testing.T) {
	root, _ := browse(t, newLab(roomy), "/")
	style := all(root, "style")[0].FirstChild.Data
	var b bytes.Buffer
	if err := report.HTML(&b, new(results.Results)); err != nil {
		t.Fatal(err)
	}
	space := regexp.MustCompile(`\s`)
	colour := regexp.MustCompile(`--(?:paper|ink|soft|line|link|s\d+):light-dark\([^)]*\)`)
	want := colour.FindAllString(space.ReplaceAllString(b.String(), ""), -1)
	got := colour.FindAllString(space.ReplaceAllString(style, ""), -1)
	slices.Sort(want)
	slices.Sort(got)
	if len(want) != 5+palette.Strategies || !slices.Equal(got, want) {
		t.Errorf("the page has\n%v, the report\n%v", got, want)
	}
	for i := range palette.Strategies {
		if rule := fmt.Sprintf(".of-s%d{--c:var(--s%[1]d)}", i); !strings.Contains(style, rule) {
			t.Errorf("no rule %s", rule)
		}
	}
}

// The page with all that belongs to it is small also for who takes no gzip.
func TestPageIsSmall(t *testing.T) {
	r := request(t.Context(), http.MethodGet, "/")
	r.Header.Set("Accept", "text/html")
	whole := serve(newLab(roomy), r).Body
	if n := whole.Len(); n > 120_000 || n < 20_000 {
		t.Errorf("the page has %d bytes", n)
	}
	root, err := html.Parse(whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"img", "link", "script"} {
		for _, n := range all(root, name) {
			if from := attribute(n, "src") + attribute(n, "href"); from != "" && !strings.HasPrefix(from, "data:") && !strings.HasPrefix(from, "#") {
				t.Errorf("the page also loads %s", from)
			}
		}
	}
}

// All text of the pages has a size of one scale.
func TestTypeScale(t *testing.T) {
	size := regexp.MustCompile(`font(?:-size)?:\s*(?:600 )?([^;}/]+)`)
	styles := map[string]string{}
	for _, path := range []string{"/", "/receipts"} {
		root, _ := browse(t, newLab(roomy), path)
		styles[path] = all(root, "style")[0].FirstChild.Data
	}
	for _, name := range []string{"page.html", "head.html", "atlas.html"} {
		text, err := os.ReadFile("../internal/report/" + name)
		if err != nil {
			t.Fatal(err)
		}
		styles[name], _, _ = strings.Cut(string(text), "</style>")
	}
	for path, style := range styles {
		found := size.FindAllStringSubmatch(style, -1)
		for _, m := range found {
			if is := strings.Fields(m[1])[0]; !strings.HasPrefix(is, "var(--t") && !strings.HasSuffix(is, "em") && is != "inherit" && is != "75%" && !strings.HasPrefix(is, "clamp(") || strings.HasSuffix(is, "rem") {
				t.Errorf("%s: %s", path, m[0])
			}
		}
		if len(found) < 3 {
			t.Errorf("%s: %d sizes", path, len(found))
		}
	}
}

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
	links(t, w.Body.Bytes()) // checks that the tags are in pairs
	text := w.Body.String()
	if strings.Contains(text, "ZgotmplZ") {
		t.Error("html/template found a value unsafe")
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
				t.Errorf("%v are not closed", open)
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

// all returns the elements of a name.
func all(root *html.Node, name string) (nodes []*html.Node) {
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data == name {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// textOf returns the text of an element, without line breaks.
func textOf(n *html.Node) string {
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
