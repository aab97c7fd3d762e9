//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/receipt"
)

// The command of the Procfile runs with only the variables of a PaaS. It serves a public
// lab on all interfaces, and ends with 0 after a signal.
func TestProcfile(t *testing.T) {
	text, err := os.ReadFile("../../Procfile")
	if err != nil {
		t.Fatal(err)
	}
	line, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "web: ")
	if !ok {
		t.Fatalf("Procfile: %q has no web", text)
	}
	app := t.TempDir()
	binary, err := os.Executable()
	if err == nil {
		err = errors.Join(os.Mkdir(filepath.Join(app, "bin"), 0o755), os.Symlink(binary, filepath.Join(app, "bin", "gotimeout")))
	}
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(freeAddr(t, ""))
	for name, sig := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "sh", "-c", "exec "+line)
			cmd.Dir = app
			cmd.Env = []string{"PORT=" + port, "HOME=" + app, "PATH=/usr/bin:/bin", asProgram + "=1"}
			cmd.WaitDelay = 10 * time.Second
			demo := serving(t, cmd)
			if !strings.Contains(demo.log, "url=http://localhost:"+port) { // the address is on all interfaces
				t.Errorf("the log lacks the URL: %s", demo.log)
			}
			checkDemo(t, program{url: "http://127.0.0.1:" + port})
			http.DefaultClient.CloseIdleConnections()
			if err := demo.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if err := demo.Wait(); err != nil {
				t.Errorf("after %s: %v", name, err)
			}
		})
	}
}

// checkDemo checks that a lab is public: it serves the page, refuses changes of the
// network, and allows each client a share of runs.
func checkDemo(t *testing.T, p program) {
	t.Helper()
	browser, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	browser.Header.Set("Accept", "text/html")
	resp, err := http.DefaultClient.Do(browser)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		t.Errorf("/: %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	var refused struct{ Error receipt.Error }
	if status := p.get(t, "/context-cancel?delay=6s", &refused); status != http.StatusBadRequest || !strings.Contains(refused.Error.Message, "at most 5s") {
		t.Errorf("a delay of 6s: %d %s", status, refused.Error.Message)
	}
	if status, _ := p.change(t, http.MethodPut, "/network", "3g"); status != http.StatusForbidden {
		t.Errorf("a change of the network: %d", status)
	}
	for range 3000 {
		resp, err := http.Get(p.url + "/baseline?op=cpu&delay=0")
		if err != nil {
			t.Fatal(err)
		}
		_ = json.NewDecoder(resp.Body).Decode(&refused) // a table is not JSON
		resp.Body.Close()
		if resp.StatusCode == http.StatusTooManyRequests {
			if refused.Error.Code != "rate_limited" || resp.Header.Get("Retry-After") == "" {
				t.Errorf("%+v, Retry-After %q", refused, resp.Header.Get("Retry-After"))
			}
			return
		}
	}
	t.Error("the lab has no limit of runs")
}

type running struct {
	*exec.Cmd
	log string // until the program served
}

// process starts the program in a process with only the variables of env, and returns
// when the program serves.
func process(t testing.TB, args []string, env ...string) running {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(env, asProgram+"=1")
	cmd.WaitDelay = 10 * time.Second
	return serving(t, cmd)
}

// serving starts a command and returns when the program serves.
func serving(t testing.TB, cmd *exec.Cmd) running {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		log.WriteString(lines.Text() + "\n")
		if servingAt.MatchString(lines.Text()) {
			return running{cmd, log.String()}
		}
	}
	t.Fatalf("the program ended (%v): %s", cmd.Wait(), &log)
	return running{}
}

// BenchmarkListeners measures the processor time of a lab in a process of its own while 500
// clients listen to /events. An operation is a second:
//
//	go test -run '^$' -bench Listeners -benchtime 20x ./cmd/gotimeout
func BenchmarkListeners(b *testing.B) {
	const listeners = 500
	lab := process(b, []string{"--addr=127.0.0.1:0"})
	defer func() { _ = lab.Process.Kill(); _ = lab.Wait() }()
	url := servingAt.FindStringSubmatch(lab.log)[1]
	for range 8 { // an event has at most 8 receipts
		resp, err := http.Get(url + "/baseline?delay=0")
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
	heard := make(chan int, listeners)
	for range listeners {
		resp, err := http.Get(url + "/events")
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		go func() {
			for lines := bufio.NewReader(resp.Body); ; {
				line, err := lines.ReadString('\n')
				if err != nil {
					return
				} else if strings.HasPrefix(line, "data: ") {
					heard <- len(line)
				}
			}
		}()
	}
	hear := func() (bytes int) {
		for range listeners {
			bytes += <-heard
		}
		return bytes
	}
	hear() // reads the first snapshots, with the history
	hear()
	used := func() (ms float64) {
		resp, err := http.Get(url + "/lab")
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		var facts struct {
			Now struct {
				CPU float64 `json:"cpu_ms"`
			}
		}
		if err := json.NewDecoder(resp.Body).Decode(&facts); err != nil {
			b.Fatal(err)
		}
		return facts.Now.CPU
	}
	before, begun, bytes := used(), time.Now(), 0
	for b.Loop() {
		bytes += hear()
	}
	b.ReportMetric(100*(used()-before)/float64(time.Since(begun).Milliseconds()), "%core")
	b.ReportMetric(float64(bytes)/float64(b.N)/listeners, "B/event")
}
