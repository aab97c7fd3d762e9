package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"gotimeout/internal/golden"
	"gotimeout/internal/lab"
)

const recordedFile = "../../handlers/page/recorded.js"

// recordedRace is the race that the page plays until somebody presses Run.
type recordedRace struct {
	Start struct {
		Op      string  `json:"op"`
		Delay   float64 `json:"delay_ms"`
		Timeout float64 `json:"timeout_ms"`
		Times   int     `json:"times"`
	} `json:"start"`
	Runs []map[string]any `json:"runs"`
}

// The recorded race has a complete run of each strategy, which was answered and ended in the
// database as the matrix has it. If the list of strategies has changed, -update records a new race.
func TestRecordedRace(t *testing.T) {
	text, err := os.ReadFile(recordedFile)
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := bytes.Cut(text, []byte("const recorded = "))
	var names []string
	for _, s := range lab.Strategies() {
		if s.Suits("db") {
			names = append(names, s.Name)
		}
	}
	race := readRecorded(t, body)
	if *golden.Update && !slices.Equal(race.names(), names) {
		race = recordRace(t, names)
		if err := os.WriteFile(recordedFile, append(head, race.script(t)...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := race.names(); !slices.Equal(got, names) {
		t.Fatalf("%s is of %q, and the strategies are %q: go test -run TestRecordedRace -update records it again", recordedFile, got, names)
	}
	cells := matrix(t)
	for _, run := range race.Runs {
		answered, _ := run["answered_ms"].(float64)
		backend, _ := run["backend_ended_ms"].(float64)
		want := cells[run["name"].(string)+" db/sleep aware"]
		if run["complete"] != true || run["left"] == "" || (want.backend == "timeout") != (backend < race.Start.Delay) || (want.answered == "timeout") != (answered < race.Start.Delay/2) {
			t.Errorf("%v", run)
		}
	}
}

func (r recordedRace) names() (names []string) {
	for _, run := range r.Runs {
		name, _ := run["name"].(string)
		names = append(names, name)
	}
	return names
}

// script returns the race as the page has it, with a line for each run.
func (r recordedRace) script(t *testing.T) []byte {
	t.Helper()
	start, err := json.Marshal(r.Start)
	if err != nil {
		t.Fatal(err)
	}
	lines := make([]string, len(r.Runs))
	for i, run := range r.Runs {
		line, err := json.Marshal(run)
		if err != nil {
			t.Fatal(err)
		}
		lines[i] = "    " + string(line)
	}
	return fmt.Appendf(nil, "const recorded = {\n  \"start\": %s,\n  \"runs\": [\n%s\n  ]\n}\n", start, strings.Join(lines, ",\n"))
}

func readRecorded(t *testing.T, body []byte) (r recordedRace) {
	t.Helper()
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("%s: %v", recordedFile, err)
	}
	return r
}

// recordRace runs the race of the page's form, and keeps the last event of each run.
// Nobody else has its receipts.
func recordRace(t *testing.T, names []string) (r recordedRace) {
	t.Helper()
	resp, err := http.Get(start(t).url + "/race?op=db&delay=2s&timeout=500ms")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var all bytes.Buffer
	if _, err := all.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	r.Runs = make([]map[string]any, len(names))
	for message := range bytes.SplitSeq(all.Bytes(), []byte("\n\n")) {
		event, data, _ := bytes.Cut(message, []byte("\ndata: "))
		switch string(event) {
		case "event: start":
			err = json.Unmarshal(data, &r.Start)
		case "event: run":
			var run map[string]any
			err = json.Unmarshal(data, &run)
			run["receipt"], run["error"] = "", nil
			r.Runs[slices.Index(names, run["name"].(string))] = run
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}
