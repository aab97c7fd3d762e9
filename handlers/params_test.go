package handlers_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/slowops"
)

// asked is what a run was asked to do, as its receipt and its op see it.
type asked struct {
	op, delay, timeout, ctx, work, backend string
}

func TestParameters(t *testing.T) {
	for query, want := range map[string]asked{
		"":                           {"http", "5s", "1s", "aware", "", "aware"},
		"op=http":                    {"http", "5s", "1s", "aware", "", "aware"},
		"op=cache":                   {"cache", "0s", "1s", "aware", "", ""}, // no delay can be had
		"op=cache&delay=0":           {"cache", "0s", "1s", "aware", "", ""},
		"op=db":                      {"db", "5s", "1s", "aware", "sleep", ""},
		"op=db&work=cpu":             {"db", "5s", "1s", "aware", "cpu", ""},
		"op=all&backend=deaf":        {"all", "5s", "1s", "aware", "sleep", "deaf"},
		"ctx=deaf":                   {"http", "5s", "1s", "deaf", "", "aware"},
		"delay=250ms&timeout=1.5s":   {"http", "250ms", "1.5s", "aware", "", "aware"},
		"delay=5&timeout=0.25":       {"http", "5s", "250ms", "aware", "", "aware"},
		"delay=.5&timeout=.001":      {"http", "500ms", "1ms", "aware", "", "aware"},
		"delay=1.001&timeout=.0011":  {"http", "1.001s", "1.1ms", "aware", "", "aware"}, // as written, though no float64 is it
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

// watch returns where the next call of any op will be.
func watch(lab *handlers.Lab) *slowops.Call {
	call := new(slowops.Call)
	for i := range lab.Ops {
		part := lab.Ops[i].Parts[0]
		lab.Ops[i].Parts[0] = func(ctx context.Context, c slowops.Call) error {
			*call = c
			return part(ctx, c)
		}
	}
	return call
}

// Only a strategy inside the client has the client time out by itself.
func TestIOTimeout(t *testing.T) {
	for _, s := range newLab(roomy).Strategies {
		bubble(t, func(t *testing.T, lab *handlers.Lab) {
			call := watch(lab)
			get(t, lab, "/"+s.Name+"?delay=0&timeout=2h")
			var want time.Duration
			if s.Name == "io-timeout" {
				want = 2 * hour
			}
			if call.IOTimeout != want {
				t.Errorf("%s: IOTimeout %v, want %v", s.Name, call.IOTimeout, want)
			}
		})
	}
}

// A lab whose caps are under the defaults has its caps for defaults.
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

// Each bad input is told with what is allowed, and nothing is run.
func TestBadParameters(t *testing.T) {
	const (
		long      = "0123456789012345678901234567890123456789"
		overDelay = " is over this lab's cap: use at most 10h0m0s"
		noNumber  = " is no duration: write 250ms, 1.5s or plain seconds"
	)
	for query, want := range map[string]string{
		"dely=5":          `there is no parameter "dely": use op, delay, timeout, ctx, work, backend, target, connect_timeout, tls_timeout, header_timeout or read_timeout`,
		"wait=5":          `there is no parameter "wait": use op, delay, timeout, ctx, work, backend, target, connect_timeout, tls_timeout, header_timeout or read_timeout`,
		"Op=http":         `there is no parameter "Op": use op, delay, timeout, ctx, work, backend, target, connect_timeout, tls_timeout, header_timeout or read_timeout`,
		"=5":              `there is no parameter "": use op, delay, timeout, ctx, work, backend, target, connect_timeout, tls_timeout, header_timeout or read_timeout`,
		long + "x=5":      `there is no parameter "` + long + `": use op, delay, timeout, ctx, work, backend, target, connect_timeout, tls_timeout, header_timeout or read_timeout`,
		"op=http&op=http": "op is given 2 times: give it once",
		"op=":             "op is empty: give it a value or leave it out",
		"delay":           "delay is empty: give it a value or leave it out",
		"op=%zz":          `the query is malformed (invalid URL escape "%zz"): write name=value&name=value`,
		"op=http;delay=5": "the query is malformed (invalid semicolon separator in query): write name=value&name=value",

		"op=htp":                 `there is no op "htp": use http, cache, db, all, fails or panics`,
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
		"timeout=0":             "timeout=0 bounds nothing: it must be over 0",
		"timeout=0s":            "timeout=0s bounds nothing: it must be over 0",
		"timeout=.0000000001":   "timeout=.0000000001 bounds nothing: it must be over 0",
		"delay=99999999999999":  "delay=99999999999999" + overDelay,
		"delay=-99999999999999": "delay=-99999999999999 is negative: use 0 to 10h0m0s",
		"delay=0x1p-2":          "delay=0x1p-2" + noNumber,
		"delay=1_0":             "delay=1_0" + noNumber,
		"timeout=-1s":           "timeout=-1s is negative: use 0 to 6h0m0s",
		"op=cache&delay=5s":     "delay=5s can't be had: " + cacheNoDelay,
		"op=cache&delay=11h":    "delay=11h" + overDelay,
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
