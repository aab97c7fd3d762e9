//go:build unix

package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/prose"
)

// touch is a thing that a newcomer adds: the files that the change adds, and the
// lists that it edits. Paths are from the root of the repository.
type touch struct {
	files map[string]string
	edits map[string][]edit
	check func(t *testing.T, p touched)
}

// edit puts text before a line that occurs once in a file.
type edit struct{ before, text string }

// touches has a row for each kind of thing that is a file and an entry in a list.
// To add a row, write the smallest such thing in files, its list entry in edits,
// and in check each place where the program must show the thing. If that takes
// an edit of any other file, change the code to derive from the list.
var touches = map[string]touch{
	"a strategy": {
		files: map[string]string{"strategies/throwaway.go": `package strategies

func throwaway() Strategy {
	return Strategy{Name: "throwaway", Family: AroundCall, Doc: "Shows that a strategy is one file.", Do: Baseline{}.Do}
}
`},
		edits: map[string][]edit{"strategies/strategy.go": {{"\t\terrgroupStrategy(),\n", "\t\tthrowaway(),\n"}}},
		check: func(t *testing.T, p touched) {
			contains(t, p.output(t, "compare", "-h"), "timer-panic, throwaway, errgroup")
			url := p.serve(t)
			contains(t, p.fetch(t, url+"/", "text/html"), "throwaway", "Shows that a strategy is one file.")
			contains(t, p.fetch(t, url+"/", "*/*"), "throwaway", "Shows that a strategy is one file.")
			contains(t, p.fetch(t, url+"/throwaway?op=cpu&delay=0", "*/*"), `"name":"throwaway"`, `"family":"around the call"`)
			contains(t, p.fetch(t, url+"/compare?op=cpu&delay=0", "*/*"), "throwaway call completed")
		},
	},
	"an op": {
		files: map[string]string{
			"slowops/throwaway.go": `package slowops

import (
	"context"
	"fmt"
	"io"
)

// Throwaway waits for a word of its server.
type Throwaway struct{ Addr, Via string }

func (o Throwaway) Do(ctx context.Context, c Call) error {
	ctx, cancel := c.context(ctx)
	defer cancel()
	cn, err := dialPhases(ctx, &c, "throwaway", "tcp", place{o.Addr, o.Via})
	if err != nil {
		return named(err)
	}
	defer cn.Close()
	defer context.AfterFunc(ctx, func() { _ = cn.SetDeadline(past) })()
	if _, err := fmt.Fprintln(cn, c.Run); err != nil {
		return named(err)
	}
	_, err = io.ReadAll(cn)
	return named(err)
}
`,
			"internal/backends/throwaway/throwaway.go": `package throwawaybackend

import (
	"fmt"
	"net"

	"gotimeout/internal/backends"
)

func Start(o backends.Options) (*backends.Server, error) {
	s, err := backends.Listen("throwaway", o)
	if err == nil {
		s.ServeEach(func(c net.Conn) {
			var run string
			if _, err := fmt.Fscanln(c, &run); err == nil {
				s.Begin(run, "throwaway")()
			}
		})
	}
	return s, err
}
`,
			"internal/lab/throwaway.go": `package lab

import (
	"gotimeout/handlers"
	throwawaybackend "gotimeout/internal/backends/throwaway"
	"gotimeout/internal/badnet/private"
	"gotimeout/slowops"
)

type throwawayOp struct {
	Addr string ` + "`" + `name:"throwaway-addr" env:"THROWAWAY_ADDR" help:"Shows that an op brings its flags."` + "`" + `
}

func (*throwawayOp) Read(func(string) string) ([]string, error) { return nil, nil }

func (o *throwawayOp) server() *private.Server {
	if o.Addr == "" {
		return nil
	}
	return &private.Server{Network: "tcp", Addr: o.Addr}
}

func (o *throwawayOp) open(l *Lab) (handlers.Op, error) {
	b, err := l.backend("throwaway", o.server(), throwawaybackend.Start)
	if err != nil {
		return handlers.Op{}, err
	}
	b.do = slowops.Throwaway{Addr: b.addr, Via: b.via}.Do
	return handlers.Op{
		Name: b.name, Doc: "Shows that an op is a file a package.", Noun: "the throwaway",
		Dials: true, Reports: bit(b.embedded != nil), Seen: b.embedded != nil, Parts: []handlers.Part{b.do},
	}, nil
}
`,
		},
		edits: map[string][]edit{"internal/lab/op.go": {{"\t\tnew(cpuOp),\n", "\t\tnew(throwawayOp),\n"}}},
		check: func(t *testing.T, p touched) {
			contains(t, p.output(t, "serve", "-h"), "--throwaway-addr", "Shows that an op brings its flags", "$THROWAWAY_ADDR")
			url := p.serve(t)
			contains(t, p.fetch(t, url+"/", "text/html"), "throwaway", "Shows that an op is a file a package.")
			contains(t, p.fetch(t, url+"/", "*/*"), "throwaway", "Shows that an op is a file a package.")
			contains(t, p.fetch(t, url+"/lab", "*/*"), `"name":"throwaway"`, `"backend":"the throwaway"`)
			contains(t, p.fetch(t, url+"/readyz", "*/*"), `"name":"throwaway"`)
			contains(t, p.fetch(t, url+"/context-cancel?op=throwaway&delay=0", "*/*"), `"slow":"throwaway"`, `"status":"completed"`)
			contains(t, p.fetch(t, url+"/compare?op=throwaway&delay=0", "*/*"), "op=throwaway", "baseline none completed")
			contains(t, p.fetch(t, url+"/compare?op=all&delay=0", "*/*"), "baseline none completed")
			contains(t, p.fetch(t, url+"/", "text/html"), prose.And(append(together, "throwaway"))+" at once.")
			contains(t, p.output(t, "compare", "--ops=throwaway", "--delay=10ms", "--rate=20", "--duration=200ms", "--timeout=100ms", "--strategies=context-cancel", "--quiet"), "throwaway")
		},
	},
	"a network driver": {
		files: map[string]string{"internal/badnet/throwaway/throwaway.go": `package throwaway

import "gotimeout/internal/badnet"

type driver struct{}

func Open(uint64) (badnet.Driver, error) { return driver{}, nil }

func (driver) Apply(badnet.Plan) error         { return nil }
func (driver) Totals() (badnet.Totals, error) { return badnet.Totals{Packets: 77}, nil }
func (driver) Close() error                   { return nil }
`},
		edits: map[string][]edit{"internal/badnet/drivers/drivers.go": {
			{"\t\"gotimeout/internal/badnet/tun\"\n", "\t\"gotimeout/internal/badnet/throwaway\"\n"},
			{"\t\t{\n\t\t\tbadnet.Proxy", "\t\t{\"throwaway\", \"shows that a driver is one package\", \"\", throwaway.Open},\n"},
		}},
		check: func(t *testing.T, p touched) {
			for _, command := range [][]string{{"serve"}, {"network", "check"}, {"network", "run"}} {
				contains(t, p.output(t, append(command, "-h")...), "throwaway, shows that a driver is one package")
			}
			contains(t, p.output(t, "network", "drivers"), "throwaway")
			run := exec.CommandContext(t.Context(), p.binary, "network", "run", "none", "--driver=throwaway", "--", "true")
			out, _ := run.CombinedOutput()
			if run.ProcessState.ExitCode() != exitNoNetwork {
				contains(t, string(out), "none by throwaway", "77 packets")
			}
		},
	},
	"a report format": {
		files: map[string]string{"internal/report/throwaway.go": `package report

import (
	"fmt"
	"io"

	"gotimeout/internal/results"
)

func throwaway(w io.Writer, r *results.Results) error {
	_, err := fmt.Fprintf(w, "a format is one file, here of %d rows\n", len(r.Rows))
	return err
}
`},
		edits: map[string][]edit{"internal/report/report.go": {{"\t\t{\"csv\", CSV, two((*comparison).csv)},\n", "\t\t{\"throwaway\", throwaway, nil},\n"}}},
		check: func(t *testing.T, p touched) {
			contains(t, p.output(t, "report", "-h"), "throwaway")
			file := filepath.Join(t.TempDir(), "results.jsonl")
			run := `{"type":"run","format":1}` + "\n"
			if err := os.WriteFile(file, []byte(run), 0o644); err != nil {
				t.Fatal(err)
			}
			contains(t, p.output(t, "report", "--format=throwaway", file), "a format is one file, here of 0 rows")
		},
	},
	"an experiment": {
		files: map[string]string{"internal/timewait/throwaway.go": `package timewait

import "context"

func throwaway(_ context.Context, l *lab) error {
	l.step(Step{Did: "added an experiment", Expected: "it runs", Saw: "it runs", OK: true, Why: "An experiment is one file."})
	return nil
}
`},
		edits: map[string][]edit{"internal/timewait/timewait.go": {{`		{"linger", `, "\t\t{\"throwaway\", \"that an experiment is one file\", throwaway},\n"}}},
		check: func(t *testing.T, p touched) {
			contains(t, p.output(t, "timewait", "-h"), "restart, throwaway, linger, myth")
			run := exec.CommandContext(t.Context(), p.binary, "timewait", "--only=throwaway")
			out, _ := run.CombinedOutput()
			if run.ProcessState.ExitCode() != exitNoNetwork {
				contains(t, string(out), "THROWAWAY: that an experiment is one file", "saw it runs", "as expected: 1 of 1")
			}
		},
	},
	"a replay": {
		files: map[string]string{"internal/replay/throwaway.go": `package replay

import "context"

func throwaway() Experiment {
	return Experiment{
		ID: "throwaway-1", Title: "that a replay is one file", Issues: []string{"https://go.dev/issue/1"},
		run: func(_ context.Context, remedy bool) (Outcome, error) { return Outcome{"It runs.", !remedy}, nil },
	}
}
`},
		edits: map[string][]edit{"internal/replay/replay.go": {{"\t\ttimeAfter(),\n", "\t\tthrowaway(),\n"}}},
		check: func(t *testing.T, p touched) {
			contains(t, p.output(t, "replay"), "that a replay is one file")
			contains(t, p.output(t, "replay", "throwaway-1"), "saw It runs.", "control It runs.", "verdict reproduced")
		},
	},
}

// Each thing is added in an overlay of the repository. The program then builds and
// shows the thing, though no other file was touched.
func TestTouches(t *testing.T) {
	slow(t)
	for name, row := range touches {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row.check(t, row.build(t))
		})
	}
}

// touched is the program with an added thing.
type touched struct{ binary string }

// build builds the program. With an overlay the go command reuses the built packages that the
// change doesn't reach; it would build a copy of the repository anew.
func (row touch) build(t *testing.T) touched {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace := map[string]string{}
	put := func(path, text string) {
		at := filepath.Join(dir, "overlay", path)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, path)] = at
	}
	for path, text := range row.files {
		if _, err := os.Stat(filepath.Join(root, path)); err == nil {
			t.Fatalf("%s exists already", path)
		}
		put(path, text)
	}
	for path, edits := range row.edits {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range edits {
			if n := strings.Count(string(text), e.before); n != 1 {
				t.Fatalf("%q occurs %d times in %s, want 1", e.before, n, path)
			}
			text = []byte(strings.Replace(string(text), e.before, e.text+e.before, 1))
		}
		put(path, string(text))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	put("overlay.json", string(overlay))
	p := touched{filepath.Join(dir, "gotimeout")}
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay", "overlay.json"), "-o", p.binary, "./cmd/gotimeout")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return p
}

// output returns the output of a command of the program.
func (p touched) output(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), p.binary, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

// serve serves on a free port until the test ends, and returns the URL.
func (p touched) serve(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, p.binary, append([]string{"serve", "--addr=127.0.0.1:0"}, args...)...)
	cmd.WaitDelay = 10 * time.Second
	started := serving(t, cmd)
	t.Cleanup(func() { cancel(); _ = cmd.Wait(); http.DefaultClient.CloseIdleConnections() })
	return servingAt.FindStringSubmatch(started.log)[1]
}

func (p touched) fetch(t *testing.T, url, accept string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %v: %s", url, resp.Status, err, body)
	}
	return string(body)
}

// contains checks that text has each of the parts, wherever its lines are broken.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	text = strings.Join(strings.Fields(text), " ")
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in %s", part, text)
		}
	}
}
