package main

import (
	_ "embed"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/backends"
	httpbackend "gotimeout/internal/backends/http"
	"gotimeout/internal/receipt"

	"golang.org/x/sync/errgroup"
)

// The table has for each target × timeout the code of the run, or that the run completes or
// is refused. Each timeout of a phase is set beside a longer timeout of the run; the last
// column is the timeout of the run alone.
//
//go:embed testdata/phases.txt
var phasesText string

// The timeout of the cell is the shorter one where that timeout must fire. Otherwise it is
// long: on a busy machine an ordinary handshake may take seconds. The timeout of a phase
// is always set beside a longer one of the run.
const (
	phaseTimeout = 300 * time.Millisecond
	totalTimeout = 4 * time.Second
	sparedPhase  = 3 * time.Second // in a run that exceeds totalTimeout
	sparedTotal  = 10 * time.Second
)

// askedPhase is a cell of the table, and the outcome of its run.
type askedPhase struct {
	target, timeout, want string
	status                int
	view                  receipt.View
	err                   error
}

func (a *askedPhase) path() string {
	path := "/io-timeout?target=" + a.target + "&delay=8s"
	if a.want == "completed" {
		path = "/io-timeout?target=" + a.target + "&delay=0"
	}
	phase, total := sparedTotal-time.Second, sparedTotal
	switch a.want {
	case a.timeout:
		phase = phaseTimeout
	case "total_timeout":
		phase, total = sparedPhase, totalTimeout
	}
	if a.timeout != "timeout" {
		path += "&" + a.timeout + "=" + phase.String()
	}
	return path + "&timeout=" + total.String()
}

// TestPhases runs beside no other test of the package, and few cells at once: under the
// race detector a burst of handshakes keeps the processors busy.
func TestPhases(t *testing.T) {
	p := start(t)
	cells := phaseCells(t)
	var some errgroup.Group
	some.SetLimit(32)
	for _, a := range cells {
		some.Go(func() error {
			a.status, a.view, a.err = p.finish(a.path())
			return nil
		})
	}
	_ = some.Wait()
	for _, a := range cells {
		t.Run(a.target+"/"+a.timeout, a.check)
	}
}

// phaseCells reads the table, and checks that each target has a row.
func phaseCells(t *testing.T) (cells []*askedPhase) {
	t.Helper()
	targets, err := httpbackend.StartTargets(backends.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer targets.Close()
	lines := strings.Split(strings.TrimSpace(phasesText), "\n")
	columns := strings.Fields(lines[0])[1:]
	rows := map[string]bool{}
	for _, line := range lines[1:] {
		f := strings.Fields(line)
		if len(f) != len(columns)+1 {
			t.Fatalf("a row has %d columns: %s", len(f), line)
		}
		if f[0] != "blackhole" && targets.URLs[f[0]] == "" {
			t.Errorf("there is no target %s", f[0])
		}
		for i, timeout := range columns {
			if targets.URLs[f[0]] != "" {
				cells = append(cells, &askedPhase{target: f[0], timeout: timeout, want: f[i+1]})
			}
		}
		rows[f[0]] = true
	}
	for name := range targets.URLs {
		if !rows[name] {
			t.Errorf("the table has no row for the target %s", name)
		}
	}
	return cells
}

func (a *askedPhase) check(t *testing.T) {
	v := a.view
	switch {
	case a.err != nil:
		t.Fatal(a.err)
	case a.want == "refused":
		if a.status != http.StatusBadRequest {
			t.Errorf("status %d: %s", a.status, describe(v))
		}
		return
	case a.want == "completed":
		if a.status != http.StatusOK {
			t.Errorf("status %d: %s", a.status, describe(v))
		}
		return
	case v.Error == nil || v.Error.Code != a.want:
		t.Fatalf("want %s: %d, %s", a.want, a.status, describe(v))
	}
	status, least, most := http.StatusBadGateway, time.Duration(0), sparedTotal
	switch {
	case a.want == "total_timeout":
		status, least, most = http.StatusGatewayTimeout, totalTimeout, time.Minute
	case strings.HasSuffix(a.want, "_timeout"):
		status, least = http.StatusGatewayTimeout, phaseTimeout
	}
	if took := time.Duration(*v.Answered * 1e6); a.status != status || took < least || took > most {
		t.Errorf("status %d, want %d: %s", a.status, status, describe(v))
	}
	if a.want != "total_timeout" && v.Overshoot != nil {
		t.Errorf("overshoot %v, though the run's timeout was not exceeded", *v.Overshoot)
	}
	if len(v.Phases) == 0 || v.Target != a.target || v.Network != nil {
		t.Errorf("the receipt: %+v", v)
	}
}

// The drivers of cache and db have a timeout for the dial and another for each read, and none
// for the whole call: the run's timeout bounds each of the phases.
func TestPhasesOfDrivers(t *testing.T) {
	p := start(t)
	for query, want := range map[string]string{
		"op=cache&delay=8s&read_timeout=200ms":          "read_timeout",
		"op=db&delay=8s&read_timeout=200ms":             "read_timeout",
		"op=cache&delay=8s&timeout=2s":                  "read_timeout",
		"op=db&delay=8s&timeout=2s":                     "read_timeout",
		"op=cache&delay=0&connect_timeout=5&timeout=10": "",
		"op=db&delay=0&connect_timeout=5&timeout=10":    "",
		"op=cache&tls_timeout=200ms":                    "bad_parameter",
		"op=cache&header_timeout=200ms":                 "bad_parameter",
		"op=db&tls_timeout=200ms":                       "bad_parameter",
		"op=db&header_timeout=200ms":                    "bad_parameter",
		"op=all&read_timeout=200ms":                     "bad_parameter",
		"op=cpu&read_timeout=200ms":                     "bad_parameter",
		"tls_timeout=200ms":                             "bad_parameter",
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			var a struct{ Error *receipt.Error }
			p.get(t, "/io-timeout?"+query, &a)
			if got := a.Error; want == "" && got != nil || want != "" && (got == nil || got.Code != want) {
				t.Errorf("got %+v, want %q", got, want)
			}
		})
	}
}

// The receipts of the other strategies have the phases too, also that of a dial that goes
// on after its request has ended.
func TestPhasesOfOtherStrategies(t *testing.T) {
	t.Parallel()
	p := start(t)
	_, v := p.complete(t, "/goroutine-abandon?target=ok&delay=600ms&timeout=200ms")
	if n := len(v.Phases); n != 5 || v.Phases[n-1].Name != "body" || v.Phases[n-1].Took == nil || *v.Phases[n-1].At < 600 {
		t.Errorf("phases of an abandoned call: %+v", v.Phases)
	}
	_, v = p.complete(t, "/context-cancel?op=all&delay=0&timeout=10s")
	ops := map[string]int{}
	for _, ph := range v.Phases {
		ops[ph.Op]++
	}
	if ops["http"] != 5 || ops["cache"] != 3 || ops["db"] != 6 || ops["grpc"] != 4 {
		t.Errorf("phases of the ops: %v in %+v", ops, v.Phases)
	}
	_, v = p.complete(t, "/context-cancel?target=refused&delay=0")
	if v.Error == nil || v.Error.Code != "op_failed" {
		t.Errorf("the code under another strategy: %+v", v.Error)
	}
	if runtime.GOOS != "linux" {
		return // this system has no blackhole
	}
	_, v = p.complete(t, "/context-cancel?target=blackhole&timeout=1s")
	if v.OutlivedDials != 1 || v.Remedy == "" || len(v.Phases) != 1 {
		t.Errorf("a dial that outlives its request: %+v", v)
	}
	// It ends a second later, long before the kernel's own last try.
	eventually(t, "the dial has ended", func() bool {
		p.get(t, "/receipts/"+v.ID, &v)
		return v.Phases[0].Took != nil
	})
	if dial := v.Phases[0]; !dial.Failed || *dial.At+*dial.Took < 2000 {
		t.Errorf("the dial: %+v after %v ms, took %v ms", dial, *dial.At, *dial.Took)
	}
	_, v = p.complete(t, "/io-timeout?target=blackhole&timeout=10s&connect_timeout=200ms")
	if v.OutlivedDials != 0 || len(v.Phases) != 1 || v.Phases[0].Took == nil || !v.Phases[0].Failed {
		t.Errorf("a dial with a connect_timeout: %+v", v)
	}
}
