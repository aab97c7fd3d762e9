package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gotimeout/internal/report"
	"gotimeout/internal/results"
)

// What can't be searched is refused in a sentence, before anything starts.
func TestRecommendRefuses(t *testing.T) {
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"--false-timeouts=5":              {exitUsage, `"5" is no share: write percent, as 1% or 0.1%`},
		"--false-timeouts=few%":           {exitUsage, `"few%" is no share`},
		"--false-timeouts=0%":             {exitUsage, "0% can't be had, as a call may always take longer: use 0.01% to 50%"},
		"--false-timeouts=100%":           {exitUsage, "100% is out of range: use 0.01% to 50%"},
		"--false-timeouts=-1%":            {exitUsage, "-1% is out of range"},
		"--false-timeouts=NaN%":           {exitUsage, "NaN% is out of range"},
		"--false-timeouts=0.001%":         {exitUsage, "0.001% is out of range"},
		"--ctx=def":                       {exitUsage, `--ctx must be one of "aware","deaf" but got "def"`},
		"--delay=-1s":                     {exitUsage, "is no duration"},
		"--op=http extra":                 {exitUsage, "unexpected argument extra"},
		"--rate=0":                        {exitFailure, "--rate is 0: use 1 to 100000 requests a second"},
		"--requests=-5":                   {exitFailure, "--requests is -5: the interval of 1% needs at least 368"},
		"--requests=367":                  {exitFailure, "--requests is 367: the interval of 1% needs at least 368"},
		"--rate=1 --false-timeouts=0.1%":  {exitFailure, "3688 requests at 1 a second take longer than an hour: raise --rate or --false-timeouts"},
		"--requests=700001":               {exitFailure, "a lab keeps at most 700000"},
		"--strategies=errgroup,baseline":  {exitFailure, "--strategies: baseline has no timeout that could be false"},
		"--network=5g":                    {exitFailure, `--network: unknown network preset "5g"`},
		"--url=localhost:1":               {exitFailure, "is no URL of a lab"},
		"--url=http://127.0.0.1:1/?op=db": {exitFailure, "is no URL of a lab"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"recommend"}, strings.Fields(args)...), &stdout, &stderr)
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		last := lines[len(lines)-1]
		if code != want.code || stdout.Len() > 0 || !strings.HasPrefix(last, "gotimeout: ") || !strings.Contains(last, want.text) {
			t.Errorf("%s: exit code %d, %q; want %d, %q", args, code, last, want.code, want.text)
		}
	}
}

// A search that is interrupted in its sweep answers from the sample, and shows
// what there is; its records give the same again.
func TestRecommendInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, page := filepath.Join(dir, "results.jsonl"), filepath.Join(dir, "page.html")
	cmd := exec.Command(os.Args[0], "recommend", "--op=cache", "--delay=5ms", "--strategies=goroutine-abandon",
		"--false-timeouts=50%", "--requests=100", "--rate=200", "--out="+file, "--html="+page)
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0")
	var stdout, stderr lockedBuffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an answer of the sweep is written", func() bool {
		text, _ := os.ReadFile(file)
		_, sweep, _ := bytes.Cut(text, []byte(`"cell":2,"strategy":"goroutine-abandon"`))
		return bytes.Contains(sweep, []byte(`"type":"request"`))
	})
	_ = cmd.Process.Signal(os.Interrupt)
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("%v, stderr %s", err, &stderr)
	}
	r, err := readResults(file)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := results.Recommend(r, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(rec.Sample.Took); n != 100 || rec.Timeout < 6 || rec.Timeout > 200 || len(rec.Sweep) != 1 || !r.Interrupted {
		t.Errorf("%d calls, timeout %v, swept %+v", n, rec.Timeout, rec.Sweep)
	}
	var again bytes.Buffer
	if err := report.Recommendation(&again, rec, 80); err != nil || again.String() != stdout.String() {
		t.Errorf("%v; from the file %s\nwant %s", err, &again, &stdout)
	}
	if !strings.Contains(strings.ReplaceAll(stdout.String(), "\n", " "), "cuts 50% of the calls of cache that would have completed") ||
		!strings.Contains(stderr.String(), "100 calls without a timeout take 500ms, and") {
		t.Errorf("stdout %s\nstderr %s", &stdout, &stderr)
	}
	if text, err := os.ReadFile(page); err != nil || !bytes.HasSuffix(bytes.TrimSpace(text), []byte("</html>")) {
		t.Errorf("%v, %s", err, text)
	}
}
