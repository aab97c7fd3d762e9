//go:build unix

package main

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The Procfile's own line runs with nothing set but PORT, on all interfaces,
// and ends with 0 after a signal.
func TestProcfile(t *testing.T) {
	text, err := os.ReadFile("../../Procfile")
	if err != nil {
		t.Fatal(err)
	}
	line, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "web: gotimeout")
	if !ok {
		t.Fatalf("Procfile: %q does not run gotimeout", text)
	}
	_, port, _ := net.SplitHostPort(closedPort(t))
	for name, sig := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			cmd := process(t, strings.Fields(line), "PORT="+port)
			if !strings.Contains(cmd.log, "url=http://localhost:"+port) {
				t.Errorf("the log doesn't say where to look: %s", cmd.log)
			}
			resp, err := http.Get("http://127.0.0.1:" + port + "/healthz")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			http.DefaultClient.CloseIdleConnections()
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("after %s: %v", name, err)
			}
		})
	}
}

type running struct {
	*exec.Cmd
	log string // until it served
}

// process starts the program in a process with nothing but env, and returns
// when it serves.
func process(t testing.TB, args []string, env ...string) running {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(env, asProgram+"=1")
	cmd.WaitDelay = 10 * time.Second
	return serving(t, cmd)
}

// serving starts a command and returns when it serves.
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
