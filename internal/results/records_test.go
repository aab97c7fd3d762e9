package results_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gotimeout/internal/results"
)

func known(v float64) *float64 { return &v }
func count(n int) *int         { return &n }

func aRun() *results.Run { return &results.Run{Type: results.TypeRun, Format: results.Format} }

func aCell(number int) *results.Cell {
	return &results.Cell{
		Type: results.TypeCell, Cell: number, Strategy: "context-cancel", Op: "db", Ctx: "aware",
		Network: "none", Driver: "none", Timeout: 250, Delays: []float64{10, 1000}, Nominal: []float64{12, 1002}, Repeat: 1,
	}
}

func aRequest(delay float64, status string, answered, late float64) *results.Request {
	return &results.Request{
		Type: results.TypeRequest, Cell: 1, Phase: results.Load,
		Delay: delay, Status: status, Answered: answered, Late: late,
	}
}

func aReceipt(status string, started float64) *results.Receipt {
	return &results.Receipt{
		Type: results.TypeReceipt, Cell: 1, Phase: results.Load,
		Complete: true, Status: status, Delay: 10, Started: started,
	}
}

func anEnd() *results.End {
	return &results.End{Type: results.TypeEnd, Cell: 1, Answered: 1000, Drained: 1500}
}

// planted is a comparison of one cell with a figure for every column.
func planted() []any {
	request := func(phase, code string, r *results.Request) *results.Request {
		r.Phase, r.Code = phase, code
		return r
	}
	slow, short, open := aReceipt("timed_out", 0), aReceipt("timed_out", 100), aReceipt("completed", 300)
	slow.Delay, slow.Answered, slow.Dialed, slow.RST = 1000, 250.5, 1, 1
	slow.Ended, slow.Straggle = known(1000), known(749.5)
	slow.BackendEnded, slow.Waste = known(997.5), known(747)
	short.Ended, short.Straggle, short.Waste, short.Dialed = known(251), known(0), known(3), 1
	open.Dialed, open.Answered = 2, 1003
	quick := aReceipt("completed", 2000)
	quick.Ended, quick.Straggle, quick.Waste = known(12), known(0), known(0)
	ofProbe := aReceipt("completed", 0)
	ofProbe.Phase, ofProbe.Dialed, ofProbe.Waste = results.Probe, 50, known(9999)

	end := anEnd()
	end.Open, end.Missing = 1, 2
	return []any{
		aRun(), aCell(1),
		&results.Sample{Type: results.TypeSample, Cell: 1, Phase: results.Before, Goroutines: 10, Connections: count(1), TimeWait: count(3)},
		&results.Sample{Type: results.TypeSample, Cell: 1, Phase: results.Load, CPU: 100, Allocated: 1000},
		&results.Sample{Type: results.TypeSample, Cell: 1, Phase: results.Load, CPU: 110, Allocated: 2000},
		aRequest(10, "completed", 12, 0.1),
		aRequest(1000, "timed_out", 250.5, 0.2),
		aRequest(10, "timed_out", 251, 0.3),
		aRequest(1000, "completed", 1003, 0.4),
		request(results.Load, results.WrongAnswer, aRequest(10, "failed", 5, 6)),
		aRequest(10, "refused", 1, 0.5),
		request(results.Probe, "", aRequest(0, "completed", 11, 70)),
		request(results.Probe, "", aRequest(0, "completed", 12, 70)),
		request(results.Probe, results.WrongAnswer, aRequest(0, "failed", 13, 70)),
		slow, short, open, quick, ofProbe,
		&results.Sample{Type: results.TypeSample, Cell: 1, Phase: results.Answered, Goroutines: 17, Connections: count(9), TimeWait: count(4)},
		&results.Sample{Type: results.TypeSample, Cell: 1, Phase: results.Drained, CPU: 130, Allocated: 7000, TimeWait: count(8)},
		&results.Sample{Type: results.TypeSample, Cell: 1, Phase: results.After, Goroutines: 12, Connections: count(4), TimeWait: count(2)},
		end,
		&results.Done{Type: results.TypeDone},
	}
}

// collect makes results from records without a file, as a running comparison does.
func collect(t *testing.T, records ...any) *results.Results {
	t.Helper()
	c := results.NewCollector()
	for _, r := range records {
		if err := c.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	return c.Results()
}

// written returns a file with the records.
func written(t testing.TB, records ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	w := results.NewWriter(&b)
	for _, r := range records {
		if err := w.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A file gives the same results as its comparison.
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

// Other programs may write JSON with spaces and another order of keys.
func TestReadOtherJSON(t *testing.T) {
	var text bytes.Buffer
	for line := range bytes.Lines(written(t, planted()...)) {
		var record map[string]any // encoding/json sorts the keys of a map
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatal(err)
		}
		spaced, err := json.MarshalIndent(record, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		text.Write(append(bytes.ReplaceAll(spaced, []byte("\n"), nil), '\n'))
	}
	read, err := results.Read(&text)
	if err != nil {
		t.Fatal(err)
	}
	if live := collect(t, planted()...); !reflect.DeepEqual(read, live) {
		t.Errorf("read %+v, live %+v", read, live)
	}
}

// A record keeps no value of an earlier record of its type.
func TestReadForgets(t *testing.T) {
	none, full, bare := aReceipt("timed_out", 0), aReceipt("timed_out", 0), aReceipt("timed_out", 0)
	none.Waste, full.Waste = known(0), known(100)
	text := string(written(t, aRun(), aCell(1), aRequest(10, "timed_out", 260, 0), none, full, bare, anEnd()))
	// A missing key keeps no value of the earlier record either.
	text = strings.Replace(text, `"waste_ms":null,`, "", 1)
	r, err := results.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Rows[0].Figure("waste_s_per_1000"); got == nil || *got != 50 {
		t.Errorf("%v, want 50: the third record has no such figure", *got)
	}
}

// A file that was cut anywhere has the cells that had ended.
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

// Read doesn't panic on any file, and a row without repeats has no figures.
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

// readEnv names a file that a child process reads, so that its memory is that of reading
// alone.
const readEnv = "GOTIMEOUT_TEST_READ"

func TestMain(m *testing.M) {
	if path := os.Getenv(readEnv); path != "" {
		readAlone(path)
		return
	}
	os.Exit(m.Run())
}

// readAlone reads the file and prints the memory of this process, from the kernel.
func readAlone(path string) {
	f, err := os.Open(path)
	if err == nil {
		_, err = results.Read(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status, _ := os.ReadFile("/proc/self/status") // empty where the system has no /proc
	_, _ = os.Stdout.Write(status)
}

// BenchmarkRead reads a million records: no more than 5 s and 200 MiB at the peak.
func BenchmarkRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "results.jsonl")
	writeMillion(b, path)
	b.ResetTimer()
	var peak float64
	for b.Loop() {
		child := exec.CommandContext(b.Context(), os.Args[0])
		child.Env = append(os.Environ(), readEnv+"="+path)
		status, err := child.Output()
		if err != nil {
			b.Fatal(err)
		}
		if _, after, ok := strings.Cut(string(status), "VmHWM:"); ok {
			var kib float64
			if _, err := fmt.Sscan(after, &kib); err != nil {
				b.Fatal(err)
			}
			peak = max(peak, kib/1024)
		}
	}
	b.ReportMetric(peak, "peak-MiB")
}

// writeMillion writes 500,000 requests and as many receipts.
func writeMillion(b *testing.B, path string) {
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := results.NewWriter(f)
	add := func(record any) {
		if err := w.Add(record); err != nil {
			b.Fatal(err)
		}
	}
	add(aRun())
	add(aCell(1))
	for i := range 500_000 {
		v := float64(i%1000) + 0.123
		id := fmt.Sprintf("abcdef-%d", i)
		request, receipt := aRequest(10, "timed_out", v, 0.1), aReceipt("timed_out", v)
		request.At, request.Code, request.Receipt = v, "timed_out", id
		receipt.ID, receipt.Answered, receipt.Overshoot = id, v, &v
		receipt.Ended, receipt.Straggle, receipt.BackendEnded, receipt.Waste = &v, &v, &v, &v
		add(request)
		add(receipt)
	}
	add(anEnd())
	add(&results.Done{Type: results.TypeDone})
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}
