package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// scene is a load and what is expected under it.
type scene struct {
	title       string
	connections int
	seconds     int // long enough that the first wave, all at once, is under 1% of the answers where a p99 is asked for
	query       string
	timeout     time.Duration // that every answer meets; 0 where none does
	strategies  []string
	atLeast     float64 // req/s, as a share of the bare handler's
	orAtLeast   float64 // req/s
	overshoot   float64 // p99 in ms, at most; 0 where there is no bar

	// apart gives the httpbin a process of its own. An op in flight costs a
	// file descriptor at each end, and 10,000 at both are more than a process
	// may have on many machines.
	apart bool
}

var onTime = []string{"goroutine-abandon", "context-cancel", "timer-panic", "errgroup", "io-timeout"}

var scenes = []scene{
	{"64 connections, an http op without delay", 64, 6, "op=http&delay=0&timeout=1s", 0, []string{"context-cancel"}, 0.85, 0, 0, false},
	{"400 connections, timeout 200 ms, an http op of 1 s (ideal 2000 req/s)", 400, 25, "op=http&delay=1&timeout=200ms", 200 * time.Millisecond, onTime, 0, 1900, 25, false},
	{"2000 connections, the httpbin in a process of its own, timeout 200 ms, an http op of 1 s (ideal 10000 req/s)", 2000, 9, "op=http&delay=1&timeout=200ms", 200 * time.Millisecond, onTime, 0.85, 0, 0, true},
}

const loadRounds = 3

// load prints the scenes: the lab, and the bare handler beside it, both in fresh
// processes for each measurement.
func load(ctx context.Context, b built) error {
	for _, s := range scenes {
		fmt.Printf("%s, wrk for %d s, median of %d rounds:\n\n", s.title, s.seconds, loadRounds)
		header("", "req/s", "beside bare", "overshoot p50, p99 (ms)", "unexpected answers", "goroutines before, 2 s after", "")
		results := map[string][]result{}
		for range loadRounds {
			for _, name := range s.strategies {
				if err := s.pair(ctx, b.path("gotimeout"), name, results); err != nil {
					return fmt.Errorf("%s, %s: %w", s.title, name, err)
				}
			}
		}
		for _, name := range append([]string{"bare"}, s.strategies...) {
			s.print(name, results)
		}
		fmt.Println()
	}
	return nil
}

// pair measures a strategy right after the bare handler: the machine drifts by
// more than they differ.
func (s scene) pair(ctx context.Context, path, name string, results map[string][]result) error {
	bare, err := measure(ctx, path, s, "bare")
	if err != nil {
		return err
	}
	r, err := measure(ctx, path, s, name)
	if err != nil {
		return err
	}
	bare.beside, r.beside = 1, r.rate/bare.rate
	results["bare"], results[name] = append(results["bare"], bare), append(results[name], r)
	return nil
}

func (s scene) print(name string, results map[string][]result) {
	column := func(of func(result) float64) (values []float64) {
		for _, r := range results[name] {
			values = append(values, of(r))
		}
		return values
	}
	perSecond := median(column(func(r result) float64 { return r.rate }))
	ratio := median(column(func(r result) float64 { return r.beside }))
	p50, p99 := median(column(func(r result) float64 { return r.p50 })), median(column(func(r result) float64 { return r.p99 }))
	odd, grown := 0, 0
	for _, r := range results[name] {
		odd += r.unexpected
		grown = max(grown, r.after-r.before)
	}
	overshoot, goroutines, judged := "", "", ""
	if s.timeout > 0 {
		overshoot = fmt.Sprintf("%.1f, %.1f", p50, p99)
	}
	if name != "bare" {
		r := results[name][0]
		goroutines = fmt.Sprintf("%d, %d", r.before, r.after)
		judged = verdict(ratio >= s.atLeast && perSecond >= s.orAtLeast && (s.overshoot == 0 || p99 <= s.overshoot) && odd == 0 && grown <= 0)
	}
	row(name, number(perSecond), fmt.Sprintf("%.2f", ratio), overshoot, fmt.Sprint(odd), goroutines, judged)
}

// measure loads one handler.
func measure(ctx context.Context, path string, s scene, name string) (r result, err error) {
	httpbin := ""
	if s.apart {
		backend, err := startServer(ctx, os.Args[0], "as", "httpbin")
		if err != nil {
			return r, err
		}
		defer backend.stop()
		httpbin = backend.url
	}
	args := []string{"as", "bare", httpbin}
	if name != "bare" {
		// Room for what an abandoning strategy leaves at 10,000 requests a second.
		args = []string{"serve", "--addr=127.0.0.1:0", "--http-url=" + httpbin, "--max-in-flight=4096", "--max-abandoned=16384"}
	} else {
		path = os.Args[0]
	}
	server, err := startServer(ctx, path, args...)
	if err != nil {
		return r, err
	}
	defer server.stop()
	if name == "bare" {
		return s.wrk(ctx, server.url+"/bare?"+s.query)
	}
	before, err := goroutines(server.url)
	if err != nil {
		return r, err
	}
	if r, err = s.wrk(ctx, server.url+"/"+name+"?"+s.query); err != nil {
		return r, err
	}
	r.before = before
	r.after, err = settled(server.url)
	return r, err
}

// lab is what GET /backends says of what goes on.
type lab struct {
	Counts     struct{ Abandoned int }
	Goroutines int
}

func look(url string) (l lab, err error) {
	resp, err := http.Get(url + "/backends")
	if err != nil {
		return l, err
	}
	defer resp.Body.Close()
	return l, json.NewDecoder(resp.Body).Decode(&l)
}

func goroutines(url string) (int, error) {
	_, _ = look(url) // opens the connections that a look needs
	l, err := look(url)
	return l.Goroutines, err
}

// settled waits until nothing is left behind, then 2 s at most for the
// goroutines to be as few as they will.
func settled(url string) (least int, err error) {
	for l, err := look(url); err == nil && l.Counts.Abandoned > 0; l, err = look(url) {
		time.Sleep(10 * time.Millisecond)
	}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		l, err := look(url)
		if err != nil {
			return 0, err
		}
		if least == 0 || l.Goroutines < least {
			least = l.Goroutines
		}
	}
	return least, nil
}

// expected is the status of every answer of the scene.
func (s scene) expected() string {
	if s.timeout > 0 {
		return "504"
	}
	return "200"
}

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
func (s scene) wrk(ctx context.Context, url string) (r result, err error) {
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
