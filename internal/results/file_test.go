package results_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"gotimeout/internal/results"
)

// A file shows what its comparison showed.
func TestReadIsAsLive(t *testing.T) {
	read, err := results.Read(bytes.NewReader(written(t, planted()...)))
	if err != nil {
		t.Fatal(err)
	}
	live := collect(t, planted()...)
	if !reflect.DeepEqual(read, live) {
		t.Errorf("read %+v, live %+v", read, live)
	}
	if !live.Complete || live.Interrupted {
		t.Errorf("complete %v, interrupted %v", live.Complete, live.Interrupted)
	}
}

// Two records of a type have nothing of each other.
func TestReadForgets(t *testing.T) {
	none, full, bare := aReceipt("timed_out", 0), aReceipt("timed_out", 0), aReceipt("timed_out", 0)
	none.Waste, full.Waste = known(0), known(100)
	text := string(written(t, aRun(), aCell(1), aRequest(10, "timed_out", 260, 0), none, full, bare, anEnd()))
	// Keys that are not there are not those of the record before either.
	text = strings.Replace(text, `"waste_ms":null,`, "", 1)
	r, err := results.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Rows[0].Figure("waste_s_per_1000"); got == nil || *got != 50 {
		t.Errorf("%v, want 50: the third knows nothing", *got)
	}
}

// A file that was cut, wherever, has the cells that had ended.
func TestReadCut(t *testing.T) {
	records := planted()
	whole := written(t, records...)
	run, ended := len(written(t, aRun())), len(whole)-len(written(t, records[len(records)-1]))
	for n := range whole {
		r, err := results.Read(bytes.NewReader(whole[:n]))
		switch {
		case n < run-1: // the newline may be missing
			if !errors.Is(err, results.ErrNoResults) {
				t.Fatalf("cut after %d bytes: %v", n, err)
			}
			continue
		case err != nil:
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
		if want := n >= ended-1; (len(r.Rows) == 1) != want || r.Complete && n < len(whole)-1 {
			t.Fatalf("cut after %d bytes: %d rows, complete: %v; the cell ends after %d", n, len(r.Rows), r.Complete, ended)
		}
	}
}

func TestReadInterrupted(t *testing.T) {
	r, err := results.Read(bytes.NewReader(written(t, aRun(), &results.Done{Type: results.TypeDone, Interrupted: true})))
	if err != nil || r.Complete || !r.Interrupted {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestReadRefuses(t *testing.T) {
	run, cell := string(written(t, aRun())), string(written(t, aCell(1)))
	for name, test := range map[string]struct {
		text, want string
		ours       bool
	}{
		"empty":            {"", "it is empty, or was cut in its first line: these are no results of gotimeout compare --out", false},
		"text":             {"hello\nworld\n", "line 1 is no record of a run: these are no results of gotimeout compare --out", false},
		"JSON of others":   {"{\"type\":\"vegeta\"}\n", "line 1 is no record of a run: these are no results of gotimeout compare --out", false},
		"no run":           {cell, "line 1 is no record of a run: these are no results of gotimeout compare --out", false},
		"one long line":    {strings.Repeat("x", 2<<20), "line 1 is longer than any record: these are no results of gotimeout compare --out", false},
		"broken inside":    {run + "{\"type\":\"ce\n" + cell, "line 2: it is no whole JSON object", true},
		"two in a line":    {run + cell[:50] + cell + cell, "line 2: it is no whole JSON object", true},
		"an unknown type":  {run + "{\"type\":\"toast\"}\n", `line 2: there is no type of record "toast"`, true},
		"another's number": {run + "{\"type\":\"cell\",\"cell\":\"one\"}\n", "line 2: json: cannot unmarshal string", true},
		"another format":   {strings.Replace(run, `"format":1`, `"format":7`, 1), "line 1: the records are of format 7, this gotimeout reads 1: use the one that wrote them", true},
		"two files in one": {run + cell + run, "line 3: a second comparison begins here: a file holds one", true},
	} {
		_, err := results.Read(strings.NewReader(test.text))
		if err == nil || !strings.HasPrefix(err.Error(), test.want) || errors.Is(err, results.ErrNoResults) == test.ours {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}

func TestReadFails(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, err = results.Read(dir); err == nil || errors.Is(err, results.ErrNoResults) {
		t.Errorf("a directory: %v", err)
	}
}

// No file makes Read panic, nor what it read.
func FuzzRead(f *testing.F) {
	f.Add(written(f, planted()...))
	f.Add(written(f, aRun(), aCell(1), anEnd()))
	f.Add(written(f, aRun(), aCell(1), aRequest(10, "timed_out", 1, 1), anEnd()))
	f.Add([]byte("null\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := results.Read(bytes.NewReader(data))
		if (r == nil) == (err == nil) {
			t.Fatalf("%v, %v", r, err)
		}
		if err != nil {
			return
		}
		for _, g := range r.Groups() {
			for _, row := range g.Rows {
				if len(row.Repeats) == 0 && row.Figures != (results.Figures{}) {
					t.Errorf("figures of no repeat: %+v", row.Figures)
				}
			}
		}
		if _, err := json.Marshal(r.Run); err != nil {
			t.Error(err)
		}
	})
}
