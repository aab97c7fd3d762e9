package handlers_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/receipt"
	"gotimeout/slowops"
)

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
			t.Errorf("the receipt was not told: %+v", v)
		}
		settle(t, lab)
	})
}

func TestBadPhaseParameters(t *testing.T) {
	for target, want := range map[string]string{
		"/io-timeout?connect_timeout=soon":             "connect_timeout=soon is no duration: write 250ms, 1.5s or plain seconds",
		"/io-timeout?connect_timeout=7h&timeout=6h":    "connect_timeout=7h is over this lab's cap: use at most 6h0m0s",
		"/io-timeout?read_timeout=0":                   "read_timeout=0 bounds nothing: it must be over 0",
		"/io-timeout?header_timeout=1":                 "header_timeout=1 never comes before timeout=1s: make it shorter, or timeout longer",
		"/io-timeout?header_timeout=2s&timeout=1.5s":   "header_timeout=2s never comes before timeout=1.5s: make it shorter, or timeout longer",
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

// What the op calls its error is the code under io-timeout, and none elsewhere,
// but for a wrong answer.
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
