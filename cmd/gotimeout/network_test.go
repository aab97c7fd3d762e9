package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/check"
	"gotimeout/internal/badnet/drivers"
)

func madeUp(t *testing.T) *check.Check {
	t.Helper()
	p, err := badnet.Parse("delay=50ms jitter=5ms loss=5%,burst=2 up.rate=10gbit down.rate=2mbit")
	if err != nil {
		t.Fatal(err)
	}
	v := func(f float64) *float64 { return &f }
	return &check.Check{
		Driver: badnet.TUN, Profile: p,
		Why: "it works here, which can't be said of netem: this kernel has no netem (sudo modprobe sch_netem)",
		Figures: []check.Figure{
			{What: "dial (mean)", Unit: check.Millis, Asked: v(100), Measured: v(103.217), Within: 8.4},
			{What: "round trip", Unit: check.Millis, Asked: v(100), Within: 3},
			{What: "loss", Way: "up", Unit: check.Percent, Asked: v(5), Measured: v(5.25), Within: 1.4},
			{What: "loss", Way: "down", Unit: check.Percent, Asked: v(5), Measured: v(8.1), Within: 1.4},
			{What: "reordered", Way: "up", Unit: check.Percent, Asked: v(0), Measured: v(0), Within: 0.5},
			{What: "reordered", Way: "down", Unit: check.Percent, Asked: v(0), Measured: v(0), Within: 0.5},
			{What: "rate", Way: "up", Unit: check.Bits, Asked: v(1e10), Measured: v(1.888e9), Within: 2e8, Note: "only 2.33 Gbit/s were sent"},
			{What: "rate", Way: "down", Unit: check.Bits, Asked: v(2e6), Measured: v(1.99e6), Within: 4e4},
		},
	}
}

func TestCheckTable(t *testing.T) {
	var out bytes.Buffer
	if err := printCheck(&out, madeUp(t), 80); err != nil {
		t.Fatal(err)
	}
	fitsGolden(t, "network-check.txt", out.String())
}

// The JSON has the figures of the table, in keys that name their units.
func TestCheckJSON(t *testing.T) {
	var out bytes.Buffer
	c := networkCheckCmd{JSON: true}
	err := c.report(streams{out: &out, err: &out}, madeUp(t), nil)
	const outside = "the tun driver did not do what was asked: round trip: none came back instead of 100 ms ± 3 ms; loss down: 8.1% instead of 5% ± 1.4%"
	if err == nil || err.Error() != outside {
		t.Errorf("%v", err)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"driver": "tun", "ok": false, "outside": outside,
		"dial_asked_ms": 100., "dial_measured_ms": 103.217, "dial_within_ms": 8.4, "dial_verdict": "ok",
		"round_trip_measured_ms": nil, "loss_down_measured_percent": 8.1, "loss_down_verdict": "outside",
		"rate_up_measured_bit_s": 1.888e9, "rate_up_verdict": "not judged",
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
}

func TestDriversTable(t *testing.T) {
	var out bytes.Buffer
	refused := badnet.Cannot("this kernel allows no private networks to unprivileged programs (kernel.unprivileged_userns_clone is 0): run it with sudo")
	if err := (networkDriversCmd{}).print(streams{out: &out}, drivers.Refused(refused)); err != nil {
		t.Fatal(err)
	}
	fitsGolden(t, "network-drivers.txt", out.String())
}

func TestDriversJSON(t *testing.T) {
	var out bytes.Buffer
	if err := (networkDriversCmd{JSON: true}).print(streams{out: &out}, drivers.Refused(errors.New("no namespaces"))); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Drivers []struct {
			Driver, Why string
			Works       bool
		}
		Auto string
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if d := got.Drivers[0]; len(got.Drivers) != len(drivers.All()) || d.Driver != badnet.Netem || d.Works || d.Why != "no namespaces" || got.Auto != badnet.Proxy {
		t.Errorf("%+v", got)
	}
}

// On a busy machine a figure may miss the tolerance of 1 ms by far, but a packet is never early.
func TestCheckMeasures(t *testing.T) {
	out, code := programOutput(t, "network", "check", "delay=20ms", "--driver=tun", "--json")
	if code == exitNoNetwork {
		t.Skip("this system allows no private network with tun")
	}
	var got struct {
		Driver string
		Dial   float64  `json:"dial_measured_ms"`
		Trip   float64  `json:"round_trip_measured_ms"`
		Dial6  *float64 `json:"dial_ipv6_measured_ms"` // nil where there is no ::1
		Trip6  *float64 `json:"round_trip_ipv6_measured_ms"`
		Up     float64  `json:"loss_up_measured_percent"`
		Down   float64  `json:"loss_down_measured_percent"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("exit code %d, %q: %v", code, out, err)
	}
	for what, v := range map[string]float64{"dial": got.Dial, "round trip": got.Trip, "dial ::1": *cmp.Or(got.Dial6, &got.Dial), "round trip ::1": *cmp.Or(got.Trip6, &got.Trip)} {
		if v < 40 || v > 2000 {
			t.Errorf("%s: %g ms, want 40", what, v)
		}
	}
	if got.Driver != badnet.TUN || max(got.Up, got.Down) > 50 || code > 1 {
		t.Errorf("exit code %d, %+v", code, got)
	}
}

func TestDrivers(t *testing.T) {
	out, code := programOutput(t, "network", "drivers")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || !strings.HasPrefix(lines[len(lines)-1], "auto takes ") {
		t.Errorf("exit code %d, %q", code, out)
	}
	for _, name := range drivers.Names()[1:] {
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, name+" ") }) {
			t.Errorf("%s has no line in %q", name, out)
		}
	}
}

// programOutput runs the program in a process of its own, as a private network needs.
func programOutput(t *testing.T, args ...string) (stdout string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	t.Logf("%s", &stderr)
	return string(out), cmd.ProcessState.ExitCode()
}

// Each preset comes with tc's words for it, and null where tc has none.
func TestPresetsForTC(t *testing.T) {
	var presets []struct {
		Name string
		TC   struct{ Up, Down *string }
	}
	if err := json.Unmarshal([]byte(ok(t, nil, "network", "presets", "--json")), &presets); err != nil {
		t.Fatal(err)
	}
	text := ok(t, []string{"COLUMNS=200"}, "network", "presets")
	for _, p := range presets {
		switch {
		case p.Name == "train" && (p.TC.Up != nil || p.TC.Down != nil):
			t.Error("tc has words for outages")
		case p.Name == "train":
		case p.TC.Up == nil || p.TC.Down == nil:
			t.Errorf("%s: tc has no words", p.Name)
		case !strings.Contains(text, *p.TC.Up+"\n") || !strings.Contains(text, *p.TC.Down+"\n"):
			t.Errorf("%s: the text is without %q or %q", p.Name, *p.TC.Up, *p.TC.Down)
		case p.Name == "3g" && *p.TC.Down != "netem limit 1020 delay 150ms rate 1600kbit -14":
			t.Errorf("3g: %s", *p.TC.Down)
		}
	}
}

// A log is drawn as far as it goes. What is no log, or an empty one, gets a sentence.
func TestNetworkGraph(t *testing.T) {
	dir := t.TempDir()
	const first, bucket = `{"type":"network-log","version":1,"profile":"3g","driver":"tun","seed":1,"started":"2026-11-29T00:00:00Z"}` + "\n", `{"from_ms":0,"to_ms":100}` + "\n"
	graph := func(name, text string) (code int, stdout, stderr string) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		code = run(t.Context(), []string{"network", "graph", path}, environmentOf(nil), &out, &errs)
		return code, out.String(), strings.ReplaceAll(errs.String(), dir+string(filepath.Separator), "")
	}
	code, page, said := graph("killed", first+bucket+`{"from_ms":100,`)
	if code != 0 || said != "" || !strings.Contains(page, "<h1>A bad network: 3g</h1>") || !strings.Contains(page, "The log ends in the middle of a line") {
		t.Errorf("exit code %d, %q: %s", code, said, page)
	}
	for text, want := range map[string]string{
		"":                       "file: this is no log of network run --log",
		"\x00\x01\x02":           "file: this is no log of network run --log",
		first + bucket + "x\n":   "file: line 3 of the log is broken",
		first:                    "file: the log has its first line alone, so there is nothing to draw: network run was killed, or has just begun",
		`{"type":"run"}` + "\n":  "file: this is no log of network run --log",
		first + `{"from_ms":0,`:  "file: the log has its first line alone, so there is nothing to draw: network run was killed, or has just begun",
		first[:len(first)/2]:     "file: this is no log of network run --log",
		strings.TrimSpace(first): "file: the log has its first line alone, so there is nothing to draw: network run was killed, or has just begun",
	} {
		if code, page, said := graph("file", text); code != exitUsage || page != "" || said != "gotimeout: "+want+"\nrun gotimeout network graph --help\n" {
			t.Errorf("%.40q: exit code %d, %q, %q", text, code, said, page)
		}
	}
	for _, path := range []string{filepath.Join(dir, "missing"), dir} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"network", "graph", path}, environmentOf(nil), &out, &errs); code != exitUsage || out.Len() > 0 || !strings.Contains(errs.String(), path+": ") {
			t.Errorf("%s: exit code %d, %s", path, code, &errs)
		}
	}
}
