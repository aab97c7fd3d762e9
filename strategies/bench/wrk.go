package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// result is what wrk saw of one handler, and its goroutines.
type result struct {
	rate          float64 // answers per second
	beside        float64 // the bare handler's, as a share
	p50, p99      float64 // overshoot in ms
	unexpected    int     // socket errors, and answers of another status than the scene's
	before, after int     // goroutines
}

// script makes wrk count the answers of an unexpected status and print what
// its own text rounds.
const script = `
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init(args) expected, odd = tonumber(args[1]), 0 end
function response(status) if status ~= expected then odd = odd + 1 end end
function done(summary, latency, requests)
  local bad = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  for _, thread in ipairs(threads) do bad = bad + thread:get("odd") end
  print(string.format("RESULT %f %f %f %d", summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, bad))
end
`

var resultLine = regexp.MustCompile(`(?m)^RESULT (\S+) (\S+) (\S+) (\d+)$`)

// wrk loads a URL with the scene's connections.
func wrk(ctx context.Context, url string, s scene) (r result, err error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	lua := filepath.Join(dir, "count.lua")
	if err := os.WriteFile(lua, []byte(script), 0o600); err != nil {
		return r, err
	}
	out, err := exec.CommandContext(ctx, "wrk", "-t2", "-c", strconv.Itoa(s.connections),
		"-d", strconv.Itoa(s.seconds)+"s", "--timeout", "10s", "-s", lua, url, "--", s.expected()).CombinedOutput()
	m := resultLine.FindSubmatch(out)
	if err != nil || m == nil {
		return r, fmt.Errorf("wrk: %v: %s", err, out)
	}
	figures := make([]float64, 4)
	for i := range figures {
		figures[i], _ = strconv.ParseFloat(string(m[i+1]), 64) // wrk printed a number
	}
	bound := float64(s.timeout.Milliseconds())
	return result{rate: figures[0], p50: figures[1] - bound, p99: figures[2] - bound, unexpected: int(figures[3])}, nil
}

// server is the program under load, in a process of its own.
type server struct {
	url string
	cmd *exec.Cmd
}

// startServer starts a server and returns when it has printed "serving" and
// its URL.
func startServer(ctx context.Context, path string, args ...string) (*server, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "url=http://"); ok && strings.Contains(lines.Text(), "serving") {
			go func() { // so that its log never blocks it
				defer out.Close()
				for lines.Scan() {
				}
			}()
			return &server{"http://" + strings.Fields(url)[0], cmd}, nil
		}
	}
	return nil, fmt.Errorf("%s does not serve: %w", path, cmd.Wait())
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}
