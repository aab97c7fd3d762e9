package handlers_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
)

// FuzzParse: whatever the query, the answer is one of the known ones.
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

// checkKnown checks that an answer is of the known shape and that its parts agree.
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
