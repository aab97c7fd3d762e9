package handlers_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"gotimeout/handlers"
	"gotimeout/internal/badnet"
	"gotimeout/internal/wire"
	"gotimeout/slowops"
)

// fakeNetwork notes its changes. Its log has the lines of log.
type fakeNetwork struct {
	state    badnet.State
	err      error
	set      []string
	log      string
	watchers atomic.Int32
}

func (f *fakeNetwork) Record(ctx context.Context, to io.Writer) error {
	f.watchers.Add(1)
	defer f.watchers.Add(-1)
	_, err := io.WriteString(to, f.log)
	<-ctx.Done()
	return err
}

func (f *fakeNetwork) State() *badnet.State { s := f.state; return &s }

func (f *fakeNetwork) Set(_ context.Context, backend string, p badnet.Profile) error {
	if f.err != nil {
		return f.err
	}
	f.set = append(f.set, "set "+backend+" "+p.String())
	return nil
}

func (f *fakeNetwork) Reset(_ context.Context, backend string) error {
	if f.err != nil {
		return f.err
	}
	f.set = append(f.set, "reset "+backend)
	return nil
}

func onNetwork(t *testing.T) (*handlers.Lab, *fakeNetwork) {
	t.Helper()
	trip, measured := 100., 100.25
	net := &fakeNetwork{state: badnet.State{Why: "it works", Path: badnet.Path{
		Driver: "tun", Profile: "delay=50ms", RoundTrip: &trip, Calibration: &badnet.Calibration{RoundTripP50: &measured},
	}}}
	lab := newLab(roomy)
	lab.Network = net
	return lab, net
}

func change(t *testing.T, lab *handlers.Lab, method, target, body string, header ...string) (status int, code, message string) {
	t.Helper()
	r := requestWith(t.Context(), method, target, body)
	r.RemoteAddr, r.Host = "127.0.0.1:5", "localhost:8000"
	for i := 0; i < len(header); i += 2 {
		switch header[i] {
		case "Host":
			r.Host = header[i+1]
		case "From":
			r.RemoteAddr = header[i+1]
		default:
			r.Header.Set(header[i], header[i+1])
		}
	}
	w := serve(lab, r)
	a := read[wire.Answer](t, w)
	if a.Error != nil {
		code, message = a.Error.Code, a.Error.Message
	}
	return w.Code, code, message
}

func TestNetworkIsShown(t *testing.T) {
	lab, _ := onNetwork(t)
	w := get(t, lab, "/network")
	checkStatus(t, w, http.StatusOK)
	got := read[struct {
		Driver, Profile, Why string
		RoundTrip            float64 `json:"round_trip_ms"`
		Calibration          badnet.Calibration
		Presets              []badnet.Preset
		Change               *string `json:"change_refused"`
	}](t, w)
	if got.Driver != "tun" || got.Profile != "delay=50ms" || got.Why != "it works" || got.RoundTrip != 100 ||
		*got.Calibration.RoundTripP50 != 100.25 || len(got.Presets) != len(badnet.Presets()) {
		t.Errorf("%+v", got)
	}
	if got.Change == nil || !strings.Contains(*got.Change, "GOTIMEOUT_TOKEN") {
		t.Errorf("the address of httptest's client is not loopback, and it may change the network: %v", got.Change)
	}
}

func TestNetworkChanges(t *testing.T) {
	lab, net := onNetwork(t)
	for _, step := range []struct{ method, target, body string }{
		{"PUT", "/network", "delay=100ms  loss=1%\n"},
		{"PUT", "/network?backend=db", "blackhole"},
		{"DELETE", "/network?backend=db", ""},
		{"DELETE", "/network", ""},
	} {
		if status, code, message := change(t, lab, step.method, step.target, step.body); status != http.StatusOK {
			t.Errorf("%s %s: %d %s %s", step.method, step.target, status, code, message)
		}
	}
	want := "set  delay=100ms loss=1%, set db loss=100%, reset db, reset "
	if got := strings.Join(net.set, ", "); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The answer of a run says that its network has ended during the run.
func TestNetworkEndsDuringARun(t *testing.T) {
	lab, net := onNetwork(t)
	lab.Ops = []handlers.Op{{Name: "http", Parts: parts(func(context.Context, slowops.Call) error {
		net.state.Ended = "its device was deleted"
		return nil
	})}}
	w := get(t, lab, "/baseline?op=http&delay=0")
	if path, _ := read[wire.Answer](t, w).Network.(map[string]any); path["ended"] != "its device was deleted" {
		t.Errorf("the answer has %v", path)
	}
	if path, _ := view(t, lab, w).Network.(map[string]any); path["ended"] != "its device was deleted" {
		t.Errorf("the receipt has %v", path)
	}
}

func TestNetworkRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		target, body string
		err          error
		status       int
		code, want   string
	}{
		"a file":        {"/network", "up.trace=/dev/zero", nil, 400, "bad_parameter", "a trace is a file, which only the command line may name"},
		"typo":          {"/network", "delai=1s", nil, 400, "bad_parameter", `there is no key "delai", did you mean delay?`},
		"no unit":       {"/network", "delay=100", nil, 400, "bad_parameter", "delay"},
		"under 1ns":     {"/network", "delay=0.0000001ms", nil, 400, "bad_parameter", "delay=0.0000001ms: a duration under 1ns; write 0s for none, or 1ns or more"},
		"preset":        {"/network", "5g", nil, 400, "bad_parameter", "there is no network preset"},
		"nothing":       {"/network", " ", nil, 400, "bad_parameter", "the body is empty"},
		"long":          {"/network", strings.Repeat("x", 2000), nil, 400, "bad_parameter", "at most 1024 bytes"},
		"parameter":     {"/network?back=db", "3g", nil, 400, "bad_parameter", `there is no parameter "back": use backend`},
		"no backend":    {"/network?backend=x", "3g", badnet.ErrBackend, 400, "bad_parameter", "there is no backend"},
		"driver cannot": {"/network", "lossy", badnet.Cannot("a proxy loses nothing"), 400, "driver_cannot", "a proxy loses nothing"},
		"driver failed": {"/network", "3g", errors.New("it did not take"), 503, "network_failed", "it did not take"},
	} {
		t.Run(name, func(t *testing.T) {
			lab, net := onNetwork(t)
			net.err = test.err
			status, code, message := change(t, lab, "PUT", test.target, test.body)
			if status != test.status || code != test.code || !strings.Contains(message, test.want) {
				t.Errorf("got %d %s %q, want %d %s %q", status, code, message, test.status, test.code, test.want)
			}
		})
	}
}

func TestNoNetwork(t *testing.T) {
	lab := newLab(roomy)
	status, code, message := change(t, lab, "PUT", "/network", "3g")
	if status != 409 || code != "no_network" || !strings.Contains(message, "--network none") {
		t.Errorf("got %d %s %q", status, code, message)
	}
	if got := read[badnet.State](t, get(t, lab, "/network")); got.Driver != "none" || got.Profile != "none" || got.Why == "" {
		t.Errorf("%+v", got)
	}
}

func TestNetworkAccess(t *testing.T) {
	const elsewhere, trusted = "192.0.2.1:5", "127.0.0.2:5"
	for name, test := range map[string]struct {
		token  string
		header []string
		status int
	}{
		"loopback":             {"", nil, 200},
		"IPv6 loopback":        {"", []string{"From", "[::1]:5", "Host", "[::1]:8000"}, 200},
		"elsewhere":            {"", []string{"From", elsewhere}, 403},
		"a proxy here":         {"", []string{"X-Forwarded-For", "192.0.2.1"}, 403},
		"a rebound name":       {"", []string{"Host", "evil.example"}, 403},
		"another site's page":  {"", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"token":                {"secret", []string{"From", elsewhere, "Authorization", "Bearer secret"}, 200},
		"scheme in lower case": {"secret", []string{"From", elsewhere, "Authorization", "bearer secret"}, 200},
		"wrong token":          {"secret", []string{"Authorization", "Bearer wrong"}, 403},
		"no token set":         {"", []string{"From", elsewhere, "Authorization", "Bearer "}, 403},
		"a trusted proxy":      {"", []string{"From", trusted}, 200},
		"by a trusted proxy":   {"", []string{"From", trusted, "X-Forwarded-For", "127.0.0.1"}, 403},
		"for nobody":           {"", []string{"X-Forwarded-For", ""}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			lab, net := onNetwork(t)
			lab.Token, lab.TrustedProxies = test.token, []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
			status, code, message := change(t, lab, "PUT", "/network", "3g", test.header...)
			if status != test.status || (status == 403) != (code == "forbidden") || (status == 200) != (len(net.set) == 1) {
				t.Errorf("got %d %s %q and %q, want %d", status, code, message, net.set, test.status)
			}
		})
	}
}

// Only a request with the token may change the network of a public lab.
func TestPublicNetworkAccess(t *testing.T) {
	for name, test := range map[string]struct {
		header []string
		status int
	}{
		"loopback":    {nil, 403},
		"token":       {[]string{"From", "192.0.2.1:5", "Authorization", "Bearer secret"}, 200},
		"wrong token": {[]string{"Authorization", "BEARER wrong"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			lab, net := onNetwork(t)
			lab.Public, lab.Token = true, "secret"
			for _, method := range []string{"PUT", "DELETE"} {
				status, code, message := change(t, lab, method, "/network", "3g", test.header...)
				if status != test.status || (status == 403) != (code == "forbidden") {
					t.Errorf("%s: got %d %s %q, want %d", method, status, code, message, test.status)
				}
			}
			if (test.status == 200) != (len(net.set) == 2) {
				t.Errorf("changed: %q", net.set)
			}
		})
	}
}

// Every answer and every receipt has the network's profile; an op whose backend has a
// profile of its own has that profile.
func TestNetworkInReceipts(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		_, net := onNetwork(t)
		net.state.Backends = map[string]badnet.Path{"db": {Driver: "tun", Profile: "loss=1%"}}
		lab.Network = net
		for op, want := range map[string]string{"http": "delay=50ms", "db": "loss=1%", "all": "delay=50ms; db: loss=1%"} {
			w := get(t, lab, "/context-cancel?op="+op)
			checkStatus(t, w, http.StatusOK) // the default delay is 0: the network is slow
			var got badnet.Path
			answer := read[struct {
				Network badnet.Path
				Receipt string
			}](t, w)
			stored := read[struct{ Network badnet.Path }](t, get(t, lab, answer.Receipt))
			if got = answer.Network; got.Profile != want || stored.Network.Profile != want || got.Driver != "tun" {
				t.Errorf("op=%s: %+v and %+v, want %q", op, got, stored, want)
			}
		}
		w := get(t, lab, "/compare?op=http")
		if want := "\nnetwork=\"delay=50ms\" driver=tun, round trip 100 ms, measured 100.2\n"; !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %q in\n%s", want, w.Body)
		}
	})
}

func TestNetworkOnThePage(t *testing.T) {
	lab, _ := onNetwork(t)
	if text := get(t, lab, "/").Body.String(); !strings.Contains(text, "network=\"delay=50ms\" driver=tun, round trip 100 ms, measured 100.2") {
		t.Errorf("the text lacks the network:\n%s", text)
	}
	root, _ := browse(t, lab, "/")
	var got []string
	for _, row := range all(root, "tr") {
		if cells := all(row, "td"); len(cells) == 1 {
			got = append(got, textOf(cells[0]))
		}
	}
	if want := []string{"delay=50ms", "tun: it works", "100.0 ms", "100.2 ms, 0 of 0 lost"}; !slices.Equal(got, want) {
		t.Errorf("the page has the network %q, want %q", got, want)
	}
}

// A body of PUT /network is the profile that Parse reads in it, and becomes the network of the backend in the query; or it is
// refused with one sentence, and the network stays.
func FuzzPutNetwork(f *testing.F) {
	for _, body := range []string{"3g", " delay=100ms  loss=1%\n", "delay 100ms 20ms distribution normal", "", "\x00", "delay=1\x1b[31mh", "trace=/etc/passwd", "delay=0.0000001ms", strings.Repeat("x", 2000)} {
		f.Add("", body)
	}
	for _, query := range []string{"backend=db", "backend=%0a", "backend=", "backend=db&backend=db", "x", "%zz", "backend=a;b"} {
		f.Add(query, "3g")
	}
	f.Fuzz(func(t *testing.T, query, body string) {
		lab, net := onNetwork(t)
		r := requestWith(t.Context(), http.MethodPut, "/network", body)
		r.RemoteAddr, r.Host, r.URL.RawQuery = "127.0.0.1:5", "localhost:8000", query
		w := serve(lab, r)
		p, err := badnet.Parse(strings.TrimSpace(body))
		switch {
		case w.Code == http.StatusBadRequest && len(net.set) == 0:
			checkSentence(t, w)
		case w.Code != http.StatusOK || err != nil || len(net.set) != 1 || !strings.HasSuffix(net.set[0], " "+p.String()):
			t.Errorf("%q %q: status %d, %q, want %s, %v", query, body, w.Code, net.set, p, err)
		}
	})
}
