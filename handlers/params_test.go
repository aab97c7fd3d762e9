package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
	"gotimeout/slowops"
	"gotimeout/strategies"

	"golang.org/x/net/html"
)

// asked has the parameters of a run, as its receipt and its op get them.
type asked struct {
	op, delay, timeout, ctx, work, backend string
}

func TestParameters(t *testing.T) {
	for query, want := range map[string]asked{
		"":                           {"http", "5s", "1s", "aware", "", "aware"},
		"op=http":                    {"http", "5s", "1s", "aware", "", "aware"},
		"op=cache":                   {"cache", "0s", "1s", "aware", "", ""}, // its default delay is 0, as it can't wait
		"op=cache&delay=0":           {"cache", "0s", "1s", "aware", "", ""},
		"op=db":                      {"db", "5s", "1s", "aware", "sleep", ""},
		"op=db&work=cpu":             {"db", "5s", "1s", "aware", "cpu", ""},
		"op=all&backend=deaf":        {"all", "5s", "1s", "aware", "sleep", "deaf"},
		"ctx=deaf":                   {"http", "5s", "1s", "deaf", "", "aware"},
		"delay=250ms&timeout=1.5s":   {"http", "250ms", "1.5s", "aware", "", "aware"},
		"delay=5&timeout=0.25":       {"http", "5s", "250ms", "aware", "", "aware"},
		"delay=.5&timeout=.001":      {"http", "500ms", "1ms", "aware", "", "aware"},
		"delay=1.001&timeout=.0011":  {"http", "1.001s", "1.1ms", "aware", "", "aware"}, // exact, though no float64 is
		"delay=0&timeout=1ns":        {"http", "0s", "1ns", "aware", "", "aware"},
		"delay=-0&timeout=%2B1":      {"http", "0s", "1s", "aware", "", "aware"},
		"delay=10h&timeout=6h":       {"http", "10h0m0s", "6h0m0s", "aware", "", "aware"}, // the caps
		"delay=36000&timeout=21600":  {"http", "10h0m0s", "6h0m0s", "aware", "", "aware"},
		"%64elay=1%6Ds&timeout=1m1s": {"http", "1ms", "1m1s", "aware", "", "aware"},
		"&&delay=1ms&":               {"http", "1ms", "1s", "aware", "", "aware"},
	} {
		bubble(t, func(t *testing.T, lab *handlers.Lab) {
			call := watch(lab)
			w := get(t, lab, "/baseline?"+query)
			checkStatus(t, w, http.StatusOK)
			v := view(t, lab, w)
			if got := (asked{v.Slow, v.Delay, v.Timeout, v.Ctx, v.Work, v.Backend}); got != want {
				t.Errorf("%q: the receipt has %v, want %v", query, got, want)
			}
			c := *call
			if c.Delay.String() != want.delay || c.Deaf != (want.ctx == "deaf") || c.DeafBackend != (want.backend == "deaf") ||
				c.Work != want.work || c.Run != "lab-1" || c.IOTimeout != 0 {
				t.Errorf("%q: the op got %+v, want %v", query, c, want)
			}
		})
	}
}

// watch returns a Call that each next call of any op is copied to.
func watch(lab *handlers.Lab) *slowops.Call {
	call := new(slowops.Call)
	var mu sync.Mutex // of a comparison's calls, which are at once
	for i := range lab.Ops {
		part := lab.Ops[i].Parts[0]
		lab.Ops[i].Parts[0] = func(ctx context.Context, c slowops.Call) error {
			mu.Lock()
			*call = c
			mu.Unlock()
			return part(ctx, c)
		}
	}
	return call
}

// The call has the bounds that its strategy asks of the client.
func TestClientBounds(t *testing.T) {
	for _, s := range newLab(roomy).Strategies {
		bubble(t, func(t *testing.T, lab *handlers.Lab) {
			call := watch(lab)
			get(t, lab, "/"+s.Name+"?op=db&delay=0&timeout=2h")
			if got := (strategies.ClientBounds{IO: call.IOTimeout, Server: call.ServerLimit, Kill: call.KillAfter}); got != s.Bounds(2*hour) {
				t.Errorf("%s: the call has %+v, want %+v", s.Name, got, s.Bounds(2*hour))
			}
		})
	}
}

// Where a lab's caps are under the defaults, the caps are the defaults.
func TestDefaultsUnderTheCaps(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.MaxDelay, lab.MaxTimeout = 2*time.Second, 500*time.Millisecond
		w := get(t, lab, "/baseline")
		checkStatus(t, w, http.StatusOK)
		if v := view(t, lab, w); v.Delay != "2s" || v.Timeout != "500ms" {
			t.Errorf("delay %s, timeout %s", v.Delay, v.Timeout)
		}
	})
}

// A bad parameter gets an error that names the allowed values, and starts no run.
func TestBadParameters(t *testing.T) {
	const (
		long      = "0123456789012345678901234567890123456789"
		overDelay = " is over this lab's cap: use at most 10h0m0s"
		noNumber  = " is no duration: write 250ms, 1.5s or plain seconds"
	)
	for query, want := range map[string]string{
		"dely=5":          `there is no parameter "dely", did you mean delay?`,
		"wait=5":          `there is no parameter "wait": use op, delay, timeout, ctx, work, backend, target, connect_timeout, tls_timeout, header_timeout or read_timeout`,
		"Op=http":         `there is no parameter "Op", did you mean op?`,
		"=5":              `there is no parameter "": use op, delay, timeout, ctx, work, backend, target, connect_timeout, tls_timeout, header_timeout or read_timeout`,
		long + "x=5":      `there is no parameter "` + long + `": use op, delay, timeout, ctx, work, backend, target, connect_timeout, tls_timeout, header_timeout or read_timeout`,
		"op=http&op=http": "op is given 2 times: give it once",
		"op=":             "op is empty: give it a value or leave it out",
		"delay":           "delay is empty: give it a value or leave it out",
		"op=%zz":          `the query is malformed (invalid URL escape "%zz"): write name=value&name=value`,
		"op=http;delay=5": "the query is malformed (invalid semicolon separator in query): write name=value&name=value",

		"op=htp":                 `there is no op "htp", did you mean http?`,
		"op=" + long + "x":       `there is no op "` + long + `": use http, cache, db, all, fails or panics`,
		"ctx=aware ":             "ctx=aware  is not known: use aware or deaf",
		"ctx=Deaf":               "ctx=Deaf is not known: use aware or deaf",
		"op=db&work=spin":        "work=spin is not known for op=db: use sleep or cpu",
		"op=http&work=cpu":       "work can't be chosen for op=http: leave it out",
		"op=http&backend=dead":   "backend=dead is not known for op=http: use aware or deaf",
		"op=cache&backend=aware": "backend can't be chosen for op=cache: leave it out",

		"delay=soon":            "delay=soon" + noNumber,
		"delay=5 s":             "delay=5 s" + noNumber,
		"delay=5d":              "delay=5d" + noNumber,
		"delay=1e400":           "delay=1e400" + noNumber,
		"delay=9999999999h":     "delay=9999999999h" + noNumber,
		"delay=.0000000001":     "delay=.0000000001 is under 1ns: use 0, or 1ns or more",
		"delay=0.0000001ms":     "delay=0.0000001ms is under 1ns: use 0, or 1ns or more",
		"delay=-1":              "delay=-1 is negative: use 0 to 10h0m0s",
		"delay=-1ms":            "delay=-1ms is negative: use 0 to 10h0m0s",
		"delay=-Inf":            "delay=-Inf" + noNumber,
		"delay=-1e300":          "delay=-1e300" + noNumber,
		"delay=10h0m0.1s":       "delay=10h0m0.1s" + overDelay,
		"delay=36001":           "delay=36001" + overDelay,
		"delay=1e300":           "delay=1e300" + noNumber,
		"delay=9223372036.8547": "delay=9223372036.8547" + overDelay,
		"delay=Inf":             "delay=Inf" + noNumber,
		"delay=NaN":             "delay=NaN" + noNumber,
		"timeout=6h1s":          "timeout=6h1s is over this lab's cap: use at most 6h0m0s",
		"timeout=0":             "timeout=0 bounds nothing: use more than 0, at most 6h0m0s",
		"timeout=0s":            "timeout=0s bounds nothing: use more than 0, at most 6h0m0s",
		"timeout=.0000000001":   "timeout=.0000000001 bounds nothing: use more than 0, at most 6h0m0s",
		"delay=99999999999999":  "delay=99999999999999" + overDelay,
		"delay=-99999999999999": "delay=-99999999999999 is negative: use 0 to 10h0m0s",
		"delay=0x1p-2":          "delay=0x1p-2" + noNumber,
		"delay=1_0":             "delay=1_0" + noNumber,
		"timeout=-1s":           "timeout=-1s bounds nothing: use more than 0, at most 6h0m0s",
		"op=cache&delay=5s":     "delay=5s can't be had: " + cacheNoDelay,
		"op=cache&delay=-1s":    "delay=-1s can't be had: " + cacheNoDelay,
		"op=cache&delay=11h":    "delay=11h can't be had: " + cacheNoDelay,
	} {
		lab := newLab(roomy)
		for _, path := range []string{"/baseline", "/compare"} {
			r := request(t.Context(), http.MethodGet, path)
			r.URL.RawQuery = query
			w := serve(lab, r)
			if w.Code != http.StatusBadRequest {
				t.Errorf("%s?%s: status %d", path, query, w.Code)
				continue
			}
			checkRefused(t, w, "bad_parameter", want)
		}
		if n := len(lab.Ledger.Last(1)); n != 0 {
			t.Errorf("%s: a run was opened", query)
		}
	}
}

// phaseLab is a lab whose http has targets, and whose db lacks a timeout.
func phaseLab() *handlers.Lab {
	lab := newLab(roomy)
	lab.Ops[0].Targets = []handlers.Target{{Name: "silent"}, {Name: "slow-tls", TLS: true}, {Name: "ok-h2", TLS: true}}
	lab.Ops[2].Lacks = map[string]string{"tls_timeout": "its driver has none", "header_timeout": "it has no headers"}
	return lab
}

func TestPhaseParameters(t *testing.T) {
	bubble(t, func(t *testing.T, _ *handlers.Lab) {
		lab := phaseLab()
		call := watch(lab)
		w := get(t, lab, "/io-timeout?target=slow-tls&delay=0&connect_timeout=1ms&tls_timeout=2ms&header_timeout=.003&read_timeout=4ms")
		checkStatus(t, w, http.StatusOK)
		const ms = time.Millisecond
		if c := *call; c.ConnectTimeout != ms || c.TLSTimeout != 2*ms || c.HeaderTimeout != 3*ms || c.ReadTimeout != 4*ms || c.Target != "slow-tls" {
			t.Errorf("the op got %+v", c)
		}
		v := view(t, lab, w)
		if v.Target != "slow-tls" || v.Backend != "" || len(v.Timeouts) != 4 || v.Timeouts["header_timeout"] != "3ms" {
			t.Errorf("the receipt has target %q, backend %q and %v", v.Target, v.Backend, v.Timeouts)
		}
		call.Phase("http", "connect")(nil)
		call.Outlived("none")
		if v := view(t, lab, w); len(v.Phases) != 1 || v.OutlivedDials != 1 {
			t.Errorf("the receipt lacks the parameters: %+v", v)
		}
		settle(t, lab)
	})
}

func TestBadPhaseParameters(t *testing.T) {
	for target, want := range map[string]string{
		"/io-timeout?connect_timeout=soon":             "connect_timeout=soon is no duration: write 250ms, 1.5s or plain seconds",
		"/io-timeout?connect_timeout=7h&timeout=6h":    "connect_timeout=7h is over this lab's cap: use at most 6h0m0s",
		"/io-timeout?read_timeout=0":                   "read_timeout=0 bounds nothing: use more than 0, less than timeout=1s",
		"/io-timeout?read_timeout=-1s":                 "read_timeout=-1s bounds nothing: use more than 0, less than timeout=1s",
		"/io-timeout?header_timeout=1":                 "header_timeout=1 is not shorter than timeout=1s, so it would never pass: make it shorter, or the timeout longer",
		"/io-timeout?header_timeout=2s&timeout=1.5s":   "header_timeout=2s is not shorter than timeout=1.5s, so it would never pass: make it shorter, or the timeout longer",
		"/io-timeout?op=db&tls_timeout=1ms":            "tls_timeout can't be had for op=db: its driver has none",
		"/io-timeout?op=db&header_timeout=1ms":         "header_timeout can't be had for op=db: it has no headers",
		"/io-timeout?tls_timeout=1ms":                  "tls_timeout bounds nothing where there is no TLS: use target=slow-tls or ok-h2",
		"/io-timeout?target=silent&tls_timeout=1ms":    "tls_timeout bounds nothing where there is no TLS: use target=slow-tls or ok-h2",
		"/io-timeout?op=cache&tls_timeout=1ms":         "tls_timeout bounds nothing: the backend speaks no TLS: leave it out",
		"/io-timeout?target=nobody":                    "target=nobody is not known for op=http: use silent, slow-tls or ok-h2",
		"/io-timeout?op=db&target=silent":              "target can't be chosen for op=db: leave it out",
		"/baseline?target=silent&backend=deaf":         "backend=deaf can't be chosen with a target, which takes the backend's place: leave one of them out",
		"/context-cancel?connect_timeout=1ms":          "connect_timeout is one of the client's own timeouts, which only /io-timeout sets: ask there, or leave it out",
		"/compare?read_timeout=1ms&connect_timeout=.1": "connect_timeout is one of the client's own timeouts, which only /io-timeout sets: ask there, or leave it out",
	} {
		lab := phaseLab()
		w := get(t, lab, target)
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d", target, w.Code)
			continue
		}
		checkRefused(t, w, "bad_parameter", want)
	}
}

// codedError is an error of a kind that has a code.
type codedError struct {
	code    string
	timeout bool
}

func (e codedError) Error() string { return "it said so" }
func (e codedError) Code() string  { return e.code }
func (e codedError) Timeout() bool { return e.timeout }

// Under io-timeout the code of the run is the code of the op's error. Under other
// strategies only wrong_answer is.
func TestCodes(t *testing.T) {
	for _, tc := range []struct {
		path    string
		err     error
		status  int
		outcome receipt.Status
		want    receipt.Error
	}{
		{"/io-timeout", codedError{"read_timeout", true}, 504, receipt.TimedOut, receipt.Error{Code: "read_timeout", Message: "it said so"}},
		{"/io-timeout", codedError{"total_timeout", true}, 504, receipt.TimedOut, receipt.Error{Code: "total_timeout", Message: "no answer within 1h0m0s: it said so"}},
		{"/io-timeout", codedError{"connection_reset", false}, 502, receipt.Failed, receipt.Error{Code: "connection_reset", Message: "it said so"}},
		{"/io-timeout", errors.New("it said so"), 502, receipt.Failed, receipt.Error{Code: "op_failed", Message: "it said so"}},
		{"/context-cancel", codedError{"read_timeout", true}, 502, receipt.Failed, receipt.Error{Code: "op_failed", Message: "it said so"}},
		{"/context-cancel", codedError{"connection_reset", false}, 502, receipt.Failed, receipt.Error{Code: "op_failed", Message: "it said so"}},
	} {
		bubble(t, func(t *testing.T, lab *handlers.Lab) {
			lab.Ops[4].Parts = parts(func(context.Context, slowops.Call) error {
				return tc.err
			})
			w := get(t, lab, tc.path+"?op=fails&timeout=1h")
			checkStatus(t, w, tc.status)
			checkError(t, view(t, lab, w), tc.outcome, tc.want)
		})
	}
}

// FuzzParse checks that any query gets a well-formed answer.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "op=http&delay=5s&timeout=1s&ctx=aware", "op=db&work=cpu", "op=all&backend=deaf&delay=0.25", "op=fails", "op=panics",
		"delay=NaN", "delay=-Inf", "delay=1e400", "timeout=0", "delay=0x1p-2", "op=%zz", "a;b", "op=a&op=b", "op=", "=", "&&", "ctx=\xff\x00", "timeout=1ns&ctx=deaf",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for name := range matrix {
			bubble(t, func(t *testing.T, lab *handlers.Lab) {
				r := request(t.Context(), http.MethodGet, "/"+name)
				r.URL.RawQuery = query
				checkKnown(t, serve(lab, r).Result())
			})
		}
	})
}

// checkKnown checks that an answer has the known keys and that their values agree.
func checkKnown(t *testing.T, r *http.Response) {
	t.Helper()
	a := wire.Answer{}
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&a); err != nil {
		t.Fatalf("status %d: %v", r.StatusCode, err)
	}
	want := map[int]receipt.Status{200: receipt.Completed, 400: receipt.Refused, 502: receipt.Failed, 504: receipt.TimedOut}[r.StatusCode]
	if want == "" || a.Status != want || a.Completed != (r.StatusCode == 200) {
		t.Errorf("status %d with %q, completed %t", r.StatusCode, a.Status, a.Completed)
	}
	if (a.Error == nil) != a.Completed || a.Error != nil && (a.Error.Code == "" || a.Error.Message == "") {
		t.Errorf("status %d with error %v", r.StatusCode, a.Error)
	}
	if refused := r.StatusCode == 400; (a.Receipt == nil) != refused || (a.Time == nil) != refused || (a.Answered == nil) != refused {
		t.Errorf("status %d with %+v", r.StatusCode, a)
	}
	if a.Answered == nil {
		return
	}
	timeout, err := time.ParseDuration(*a.Timeout)
	late := err == nil && *a.Name != "baseline" && *a.Answered >= timeout.Round(time.Microsecond).Seconds()*1000
	if (a.Overshoot != nil) != late {
		t.Errorf("answered %v ms under %s with overshoot %v", *a.Answered, *a.Timeout, a.Overshoot)
	}
}

// Every path refuses a parameter that it doesn't take, and a page refuses an unknown
// choice in its form: no default replaces them silently.
func TestUnknownParameters(t *testing.T) {
	const none = `there is no parameter "x": leave it out, as this path takes none`
	of := map[string]string{
		"/network?x=1": none, "/lab?x=1": none, "/backends?x=1": none, "/events?x=1": none, "/metrics?x=1": none, "/healthz?x=1": none, "/readyz?x=1": none,
		"/lab?x": none, "/network?backend=db": strings.Replace(none, `"x"`, `"backend"`, 1),
		"/sockets?x=1":                          `there is no parameter "x": use op`,
		"/receipts?x=1":                         `there is no parameter "x": use after, limit or format`,
		"/?x=1":                                 `there is no parameter "x": use op, delay, timeout, ctx, work, backend, target, network or race`,
		"/?tiemout=1s":                          `there is no parameter "tiemout", did you mean timeout?`,
		"/?op=nonsense&race=1":                  `there is no op "nonsense": use http, cache, db, all, fails or panics`,
		"/?op=none":                             `there is no op "none": use http, cache, db, all, fails or panics`,
		"/?op=db&op=http":                       "op is given 2 times: give it once",
		"/?ctx=blind":                           "ctx=blind is not known: use aware or deaf",
		"/?op=http&work=cpu&race=1":             "work can't be chosen for op=http: leave it out",
		"/?op=http&backend=dead":                "backend=dead is not known for op=http: use aware or deaf",
		"/?op=db&race=yes":                      "race=yes is not known: use 1",
		"/?op=db&delay=99h&timeout=x&network=y": "", // these stay in the form, and the race refuses them
		"/network":                              "", "/lab?": "", "/events?&": "",
	}
	for target, want := range of {
		for _, accept := range []string{"application/json", "text/html"} {
			lab := newLab(roomy)
			lab.Metrics = http.NotFoundHandler()
			r := request(t.Context(), http.MethodHead, target) // HEAD, because the body of /events has no end
			if want != "" && accept != "text/html" && !strings.HasPrefix(target, "/events") {
				r = request(t.Context(), http.MethodGet, target)
			}
			r.Header.Set("Accept", accept)
			switch w := serve(lab, r); {
			case want == "" && w.Code != http.StatusOK, want != "" && w.Code != http.StatusBadRequest:
				t.Errorf("%s as %s: status %d", target, accept, w.Code)
			case want != "" && r.Method == http.MethodGet:
				checkRefused(t, w, "bad_parameter", want)
			}
		}
	}
}

// cancelLab is a lab whose ops db and all have a parameter that the other ops don't have.
func cancelLab() *handlers.Lab {
	lab := newLab(roomy)
	for _, i := range []int{2, 3} {
		lab.Ops[i].Params = []handlers.Param{{Name: "cancel", Doc: "how a call ends", Values: []string{"close", "request"}}}
	}
	return lab
}

// A parameter of an op reaches its call, its receipt, and each link to the same run.
func TestParametersOfAnOp(t *testing.T) {
	for query, want := range map[string]string{"op=db": "close", "op=db&cancel=request": "request", "op=all&cancel=close": "close", "op=http": ""} {
		bubble(t, func(t *testing.T, _ *handlers.Lab) {
			lab := cancelLab()
			call := watch(lab)
			w := get(t, lab, "/baseline?"+query)
			checkStatus(t, w, http.StatusOK)
			v := view(t, lab, w)
			if got := v.Params["cancel"]; got != want || call.Params["cancel"] != want {
				t.Errorf("%s: the receipt has %q and the call has %q, want %q", query, got, call.Params["cancel"], want)
			}
			if want == "" {
				return
			}
			if page, _ := browse(t, lab, "/receipts/"+v.ID); !slices.ContainsFunc(all(page, "a"), func(a *html.Node) bool {
				return strings.Contains(attribute(a, "href"), "cancel="+want)
			}) {
				t.Errorf("%s: the page of the receipt has no link with cancel=%s", query, want)
			}
			if got := get(t, lab, "/compare?delay=0&"+query).Body.String(); !strings.Contains(got, " cancel="+want+"\n") {
				t.Errorf("%s: no cancel=%s in\n%s", query, want, got)
			}
			settle(t, lab)
		})
	}
}

func TestBadParametersOfAnOp(t *testing.T) {
	for query, want := range map[string]string{
		"op=http&cancel=close": "cancel can't be chosen for op=http: leave it out, or use op=db or all",
		"op=db&cancel=softly":  "cancel=softly is not known for op=db: use close or request",
	} {
		for _, path := range []string{"/baseline?", "/compare?", "/race?", "/?"} {
			w := get(t, cancelLab(), path+query)
			checkStatus(t, w, http.StatusBadRequest)
			if a := read[wire.Answer](t, w); a.Error == nil || a.Error.Message != want {
				t.Errorf("%s%s: %+v, want %s", path, query, a.Error, want)
			}
		}
	}
}

// The page asks for the parameter of an op that has it, and knows the values of every op.
func TestFieldOfAnOpsParameter(t *testing.T) {
	for query, hidden := range map[string]bool{"/?op=http": true, "/?op=db&cancel=request": false} {
		root, _ := browse(t, cancelLab(), query)
		for _, s := range all(root, "select") {
			if attribute(s, "name") != "cancel" {
				continue
			}
			is := slices.ContainsFunc(s.Parent.Attr, func(a html.Attribute) bool { return a.Key == "hidden" })
			if is != hidden || !hidden && len(all(s, "option")) != 2 {
				t.Errorf("%s: hidden %t, with %d values", query, is, len(all(s, "option")))
			}
		}
		for _, o := range all(root, "option") {
			if attribute(o, "value") == "db" && attribute(o, "data-choices") != "work=sleep|cpu cancel=close|request" {
				t.Errorf("db has the choices %q", attribute(o, "data-choices"))
			}
		}
	}
}
