package handlers_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/prose"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
	"gotimeout/slowops"
)

// share is the number of runs that a client of a public lab may make a minute.
func share(lab *handlers.Lab) int { return 200 * len(lab.Strategies) }

func publicRoutes(lab *handlers.Lab) http.Handler {
	lab.Public = true
	return lab.Routes()
}

// public makes a lab public behind proxies. It returns a function that sends a request
// from a peer, with forwarded as its X-Forwarded-For headers.
func public(t *testing.T, lab *handlers.Lab, proxies ...string) func(path, peer string, forwarded ...string) *httptest.ResponseRecorder {
	t.Helper()
	for _, p := range proxies {
		lab.TrustedProxies = append(lab.TrustedProxies, netip.MustParsePrefix(p))
	}
	routes := publicRoutes(lab)
	return func(path, peer string, forwarded ...string) *httptest.ResponseRecorder {
		r := request(t.Context(), http.MethodGet, path)
		r.RemoteAddr = peer
		for _, f := range forwarded {
			r.Header.Add("X-Forwarded-For", f)
		}
		w := httptest.NewRecorder()
		routes.ServeHTTP(w, r)
		return w
	}
}

// A client that has used its share is refused until a minute has passed. Other clients
// are not refused.
func TestShareOfRuns(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		ask := public(t, lab)
		for i := range share(lab) {
			if w := ask("/baseline?op=db&delay=0", "192.0.2.1:5"); w.Code != http.StatusOK {
				t.Fatalf("run %d: %d", i+1, w.Code)
			}
		}
		w := ask("/baseline?op=db&delay=0", "192.0.2.1:6")
		checkStatus(t, w, http.StatusTooManyRequests)
		checkRefused(t, w, "rate_limited", fmt.Sprintf(
			"this lab is public and allows each client %d runs a minute: ask for fewer at once, or try again in a minute", share(lab)))
		if got := w.Header().Get("Retry-After"); got != "60" {
			t.Errorf("Retry-After %q", got)
		}
		for path, want := range map[string]int{"/": 429, "/receipts": 429, "/nothing": 429, "/healthz": 200} {
			if w := ask(path, "192.0.2.1:5"); w.Code != want {
				t.Errorf("%s: %d, want %d", path, w.Code, want)
			}
		}
		if w := ask("/", "192.0.2.2:5"); w.Code != http.StatusOK {
			t.Errorf("another client: %d", w.Code)
		}
		time.Sleep(2 * time.Minute)
		if w := ask("/baseline?op=db&delay=0", "192.0.2.1:5"); w.Code != http.StatusOK {
			t.Errorf("later: %d", w.Code)
		}
	})
}

// A request that makes several runs counts as several runs.
func TestShareOfSeveralRuns(t *testing.T) {
	for path, most := range map[string]int{
		"/compare?op=cpu":                          200,
		"/race?op=cpu&times=1":                     200,
		"/race?op=cpu":                             200,
		"/race?op=cpu&times=100":                   2,
		"/race?op=cpu&times=50":                    4,
		"/race?op=cpu&times=-1":                    200, // refused
		"/race?op=cpu&times=101":                   200,
		"/race?op=cpu&times=999999999999999999999": 200, // refused
	} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lab := newLab(roomy)
				ask := public(t, lab)
				for i := range most {
					if w := ask(path, "192.0.2.1:5"); w.Code == http.StatusTooManyRequests {
						t.Fatalf("request %d is one too many", i+1)
					}
				}
				if w := ask(path, "192.0.2.1:5"); w.Code != http.StatusTooManyRequests {
					t.Errorf("request %d: %d", most+1, w.Code)
				}
			})
		})
	}
}

// Who waits for the receipt of a run pays for the run, however often it asks.
func TestShareOfReceipts(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		ask := public(t, lab)
		run := ask("/baseline?op=db&delay=0", "192.0.2.1:5")
		checkStatus(t, run, http.StatusOK)
		path := *read[wire.Answer](t, run).Receipt
		for i := range share(lab) {
			w := ask(path, "192.0.2.1:5")
			if got, want := w.Header().Get("X-RateLimit-Remaining"), strconv.Itoa(share(lab)-1); w.Code != http.StatusOK || got != want {
				t.Fatalf("receipt %d: %d, %s runs remain of %s", i+1, w.Code, got, want)
			}
		}
		for range share(lab) {
			ask("/lab", "192.0.2.1:5")
		}
		checkStatus(t, ask(path, "192.0.2.1:5"), http.StatusOK) // of the last run of the share too
	})
}

// One client has a quarter of a public lab at once, however its work is held up: runs in
// flight, work left behind, streams. Others are not refused.
func TestShareAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		path string
		most int
		then time.Duration // until the work is left behind
	}{
		"in flight":   {"/baseline?op=db&delay=5h", 10, 0},
		"left behind": {"/goroutine-abandon?op=db&delay=5h&timeout=1s&ctx=deaf", 20, 2 * time.Second},
		"listeners":   {"/events", 250, 0},
		"races":       {"/race?op=db&delay=0&times=25", 4, 0},
		"watches":     {"/network/log", 2, 0},
		"lists":       {"/receipts", 16, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lab := newLab(receipt.Limits{InFlight: 40, Abandoned: 80, Busy: 1000})
				lab.Strategies = lab.Strategies[:2]
				if c.path == "/network/log" {
					_, lab.Network = onNetwork(t)
				}
				ctx, leave := context.WithCancel(t.Context())
				routes := publicRoutes(lab)
				var asked sync.WaitGroup
				refused := func(peer string) *httptest.ResponseRecorder { // nil where it isn't
					w := httptest.NewRecorder()
					r := request(ctx, http.MethodGet, c.path)
					r.RemoteAddr = peer
					to := http.ResponseWriter(w)
					if name == "races" || name == "lists" {
						to = unread{w, ctx}
					}
					answered := make(chan bool)
					asked.Go(func() { routes.ServeHTTP(to, r); close(answered) })
					synctest.Wait()
					select {
					case <-answered:
						if w.Code == http.StatusTooManyRequests {
							return w
						}
					default:
					}
					return nil
				}
				for i := range c.most {
					if i%10 == 0 { // the runs in flight have a share too
						time.Sleep(c.then)
					}
					if w := refused("192.0.2.1:5"); w != nil {
						t.Fatalf("request %d: %s", i+1, w.Body)
					}
				}
				time.Sleep(c.then)
				if w := refused("192.0.2.1:6"); w == nil || read[wire.Answer](t, w).Error.Code != "over_share" {
					t.Errorf("one more: %+v", w)
				}
				if w := refused("192.0.2.2:5"); w != nil {
					t.Errorf("another client: %s", w.Body)
				}
				leave()
				asked.Wait()
				time.Sleep(24 * time.Hour)
			})
		})
	}
}

// In a public lab a call to a faulty target holds its place for a second after its timeout at most.
func TestFaultyTargetsArePublic(t *testing.T) {
	for public, want := range map[bool]time.Duration{false: newLab(roomy).Bounds().Call, true: 4 * time.Second} {
		lab := newLab(roomy)
		var limit time.Duration
		lab.Ops = []handlers.Op{{Name: "db", Targets: []handlers.Target{{Name: "silent"}, {Name: "fine", Sound: true}},
			Parts: parts(func(_ context.Context, c slowops.Call) error { limit = c.Limit; return nil })}}
		lab.Public = public
		checkStatus(t, get(t, lab, "/baseline?op=db&delay=0&timeout=3s&target=silent"), http.StatusOK)
		if limit != want {
			t.Errorf("public is %v: a call to a faulty target may take %s, want %s", public, limit, want)
		}
		checkStatus(t, get(t, lab, "/baseline?op=db&delay=0&timeout=3s&target=fine"), http.StatusOK)
		if limit != lab.Bounds().Call {
			t.Errorf("public is %v: a call to a sound target may take %s", public, limit)
		}
	}
}

// unread is an answer that its client does not read until it leaves, unless it is a refusal.
type unread struct {
	*httptest.ResponseRecorder
	left context.Context
}

func (u unread) Write(p []byte) (int, error) {
	if u.Code != http.StatusOK { // a refusal
		return u.ResponseRecorder.Write(p)
	}
	<-u.left.Done()
	return 0, u.left.Err()
}

func (u unread) Flush() {}

// Each case has two requests, and whether they count as one client's.
func TestClients(t *testing.T) {
	const proxy, elsewhere = "10.0.0.1:5", "192.0.2.1:5"
	type from struct {
		peer      string
		forwarded []string
	}
	by := func(peer string, forwarded ...string) from { return from{peer, forwarded} }
	for name, test := range map[string]struct {
		a, b from
		one  bool
	}{
		"one address, two ports":            {by("192.0.2.1:5"), by("192.0.2.1:6"), true},
		"two addresses":                     {by("192.0.2.1:5"), by("192.0.2.2:5"), false},
		"one /64":                           {by("[2001:db8::1]:5"), by("[2001:db8::ffff:2]:5"), true},
		"two /64":                           {by("[2001:db8::1]:5"), by("[2001:db8:0:1::1]:5"), false},
		"IPv4 in IPv6":                      {by("192.0.2.1:5"), by("[::ffff:192.0.2.1]:5"), true},
		"spoofed without a proxy":           {by(elsewhere, "198.51.100.1"), by(elsewhere, "198.51.100.2"), true},
		"two clients of a proxy":            {by(proxy, "198.51.100.1"), by(proxy, "198.51.100.2"), false},
		"a client of two proxies":           {by(proxy, "198.51.100.1"), by("10.0.0.2:5", "198.51.100.1"), true},
		"through a chain of proxies":        {by(proxy, "198.51.100.1, 10.0.0.2"), by(proxy, "198.51.100.2, 10.0.0.2"), false},
		"with and without a proxy":          {by(proxy, "198.51.100.1"), by("198.51.100.1:5"), true},
		"spoofed before the proxy's":        {by(proxy, "1.1.1.1, 198.51.100.1"), by(proxy, "2.2.2.2, 198.51.100.1"), true},
		"spoofed in a header before":        {by(proxy, "1.1.1.1", "198.51.100.1"), by(proxy, "2.2.2.2", "198.51.100.1"), true},
		"spoofed as a proxy":                {by(proxy, "10.0.0.7, 198.51.100.1"), by(proxy, "10.0.0.8, 198.51.100.1"), true},
		"one /64 by a proxy":                {by(proxy, "2001:db8::1"), by(proxy, "2001:db8::2"), true},
		"unreadable":                        {by(proxy, "unknown"), by(proxy, "1.1.1.1, nonsense"), true},
		"unreadable is no client's address": {by(proxy, "nonsense"), by(proxy, "198.51.100.1"), false},
		"the proxy itself":                  {by(proxy), by(proxy, "10.0.0.2"), true},
		"two proxies themselves":            {by(proxy), by("10.0.0.2:5"), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lab := newLab(roomy)
				ask := public(t, lab, "10.0.0.0/8", "fd00::/8")
				for range share(lab) {
					ask("/lab", test.a.peer, test.a.forwarded...)
				}
				if w := ask("/lab", test.a.peer, test.a.forwarded...); w.Code != http.StatusTooManyRequests {
					t.Fatalf("the first client past its share: %d", w.Code)
				}
				w := ask("/lab", test.b.peer, test.b.forwarded...)
				if got := w.Code == http.StatusTooManyRequests; got != test.one {
					t.Errorf("the second client is refused: %v, want %v", got, test.one)
				}
			})
		})
	}
}

// All clients behind a proxy that no flag names would count as one client, so the lab
// warns of that proxy once.
func TestUnnamedProxy(t *testing.T) {
	lab := newLab(roomy)
	var log bytes.Buffer
	lab.Log = slog.New(slog.NewTextHandler(&log, nil))
	ask := public(t, lab, "10.0.0.0/8")
	ask("/lab", "10.0.0.1:5", "192.0.2.1")
	ask("/lab", "192.0.2.2:5")
	if log.Len() > 0 {
		t.Errorf("a warning of a proxy that a flag names: %s", &log)
	}
	for range 2 {
		ask("/lab", "192.0.2.3:5", "192.0.2.1")
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "--trusted-proxies") || !strings.Contains(got, "peer=192.0.2.3") {
		t.Errorf("the log: %s", got)
	}
}

// A public lab doesn't serve the profiler of its process.
func TestPublicHasNoProfiler(t *testing.T) {
	ask := public(t, newLab(roomy))
	for _, path := range []string{"/debug/pprof", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars"} {
		if w := ask(path, "127.0.0.1:5"); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// Without --public no limit holds, and no header names one.
func TestNoShareOfOwn(t *testing.T) {
	lab := newLab(roomy)
	routes := lab.Routes()
	for range 2 * share(lab) {
		w := httptest.NewRecorder()
		routes.ServeHTTP(w, request(t.Context(), http.MethodGet, "/lab"))
		if w.Code != http.StatusOK || w.Header().Get("X-RateLimit-Limit") != "" {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
	}
}

// A page of another site can make a browser send requests to the lab, directly or by a
// name that resolves to this machine. Such a request neither starts a run nor reads from
// the lab. Requests of curl, which have no Sec-Fetch headers, and links to the lab's pages
// are answered.
func TestOtherSites(t *testing.T) {
	type headers map[string]string
	image := headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
	link := headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
	frame := headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
	for name, tc := range map[string]struct {
		host, path string
		headers    headers
		status     int
	}{
		"curl":                   {"127.0.0.1:8000", "/baseline?delay=0", nil, 200},
		"curl, by IPv6":          {"[::1]:8000", "/baseline?delay=0", nil, 200},
		"localhost":              {"localhost:8000", "/receipts", nil, 200},
		"the machine's name":     {"LAB:8000", "/receipts", nil, 200},
		"the lab's own page":     {"localhost:8000", "/baseline?delay=0", headers{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200},
		"typed into the browser": {"localhost:8000", "/baseline?delay=0", headers{"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200},
		"a link":                 {"localhost:8000", "/baseline?delay=0", link, 200},
		"a link to the page":     {"localhost:8000", "/", link, 200},
		"an old browser":         {"localhost:8000", "/baseline?delay=0", headers{"Origin": "http://localhost:8000"}, 200},
		"another site's image":   {"localhost:8000", "/race?times=100", image, 403},
		"another port's image":   {"localhost:8000", "/baseline?delay=0", headers{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, 403},
		"another site's frame":   {"localhost:8000", "/compare?delay=0", frame, 403},
		"a link to a race":       {"localhost:8000", "/race?times=100", link, 403},
		"an old browser, cross":  {"localhost:8000", "/baseline?delay=0", headers{"Origin": "http://evil.example"}, 403},
		"rebinding":              {"evil.example", "/baseline?delay=0", nil, 421},
		"rebinding, to read":     {"evil.example:8000", "/receipts", headers{"Sec-Fetch-Site": "same-origin"}, 421},
		"a name like localhost":  {"localhost.evil.example", "/sockets", nil, 421},
		"a health check":         {"evil.example", "/healthz", nil, 200},
	} {
		t.Run(name, func(t *testing.T) {
			lab := newLab(roomy)
			lab.Hosts = []string{"lab"}
			r := request(t.Context(), http.MethodGet, tc.path)
			r.Host = tc.host
			for key, value := range tc.headers {
				r.Header.Set(key, value)
			}
			w := serve(lab, r)
			checkStatus(t, w, tc.status)
			if code := map[int]string{403: "cross_site", 421: "unknown_host"}[tc.status]; code != "" && !strings.Contains(w.Body.String(), code) {
				t.Errorf("no %s in %s", code, w.Body)
			}
			if began := lab.Ledger.LastID() != ""; began && tc.status != 200 {
				t.Error("a run was started")
			}
		})
	}
}

// Without a list of names the lab answers every Host, as a public lab does.
func TestEveryHost(t *testing.T) {
	r := request(t.Context(), http.MethodGet, "/receipts")
	r.Host = "anything.example"
	checkStatus(t, serve(newLab(roomy), r), http.StatusOK)
}

// Any request has an answer that is no fault of the lab, and a refusal has a code and a sentence in one line. Only who has the
// token changes the network of a public lab, and nobody is answered for the name of another host.
func FuzzRequest(f *testing.F) {
	const token = "hunter2"
	for _, seed := range [][5]string{
		{"GET", "/", "", "", ""}, {"GET", "/compare?op=fails", "localhost", "", ""}, {"GET", "/race?times=2&op=http&delay=1s", "[::1]:80", "", ""}, {"GET", "/receipts?after=lab-0&limit=x", "lab.example", "", "same-origin"},
		{"GET", "/receipts/lab-1?wait=1s&format=x", "127.0.0.1", "", ""}, {"GET", "/jobs/lab-%0a", "", "", ""}, {"GET", "/docs/..%2f..", "", "", ""}, {"GET", "/code/baseline?op=db%1b", "", "", ""}, {"POST", "/network", "", "", ""},
		{"DELETE", "/network?backend=db", "", "Bearer hunter2", ""}, {"DELETE", "/network", "", "bearer  hunter2", ""}, {"PUT", "/network", "", "Basic x", "cross-site"}, {"GET", "/nope%0d%0a", "evil.example", "", "cross-site"}, {"OPTIONS", "/x", "a\nb", "", ""},
		{"GET", "/sockets?op=x", "", "", ""}, {"GET", "/events?x=1", "", "", ""}, {"G\x1bET", "/baseline?op=http&delay=1%0a", "", "", ""}, {"HEAD", "/lab", "", "", ""},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4])
	}
	f.Fuzz(func(t *testing.T, method, target, host, authorization, site string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") {
			t.Skip("net/http answers such a request itself")
		}
		bubble(t, func(t *testing.T, lab *handlers.Lab) {
			_, net := onNetwork(t)
			lab.Network, lab.Public, lab.Token, lab.Hosts = net, true, token, []string{"lab.example"}
			lab.Metrics = http.NotFoundHandler()
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // /events has no end
			defer cancel()
			r := requestWith(ctx, http.MethodGet, "/", "3g")
			r.Method, r.URL, r.Host = method, u, host
			r.Header.Set("Authorization", authorization)
			r.Header.Set("Sec-Fetch-Site", site)
			w := serve(lab, r)
			if len(net.set) > 0 && !strings.HasSuffix(authorization, " "+token) {
				t.Errorf("%s %s with %q has changed the network", method, target, authorization)
			}
			if strings.HasPrefix(host, "evil") && w.Code < 400 && u.Path != "/healthz" && u.Path != "/readyz" {
				t.Errorf("%s %s is answered for %s", method, target, host)
			}
			if w.Code >= 400 && w.Body.Len() > 0 && u.Path != "/metrics" {
				checkSentence(t, w)
			}
		})
	})
}

// checkSentence checks the code and the sentence of a refusal, or of a run that has failed.
func checkSentence(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	if w.Code == http.StatusInternalServerError {
		t.Errorf("status %d", w.Code)
	}
	if e := read[wire.Answer](t, w).Error; e == nil || e.Code == "" || e.Message == "" || e.Message != prose.Line(e.Message) {
		t.Errorf("status %d: %+v", w.Code, e)
	}
}
