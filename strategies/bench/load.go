package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gotimeout/internal/stats"
)

// scene is a load, and the status that every answer must have.
type scene struct {
	title       string
	connections int
	seconds     int // the length of a measurement
	pairs       int // of a handler and the bare one: at least intervalRounds
	query       string
	timeout     time.Duration // of every request; 0 where every op ends in time

	// apart gives the httpbin a process of its own. An op in flight takes a file
	// descriptor at each end, and on many machines a process may not have as many as
	// 10,000 ops need at both ends.
	apart bool

	rows []loadRow

	// The bar of the overshoot's p99 is the p99 of the bare handler, times factor,
	// plus extra milliseconds; factor 0 is no bar.
	factor, extra float64
	allocations   float64 // a request, at most; 0 is no bar
}

// loadRow is a handler and its bar: requests a second, as a share of the bare handler's.
// A row without a bar is only for comparison.
type loadRow struct {
	name    string
	atLeast float64
}

// bareAbandon is a handler that abandons its call without a strategy: goroutine-abandon
// can't be faster.
const bareAbandon = "bare-abandon"

var scenes = []scene{
	{
		title: "64 connections, an http op without delay", connections: 64, seconds: 3, pairs: 15,
		query: "op=http&delay=0&timeout=1s",
		rows:  []loadRow{{"context-cancel", 0.92}}, allocations: 180,
	},
	{
		title: "400 connections, timeout 200 ms, an http op of 1 s (ideal 2000 req/s)", connections: 400, seconds: 5, pairs: intervalRounds,
		query: "op=http&delay=1&timeout=200ms", timeout: 200 * time.Millisecond,
		rows:   []loadRow{{"goroutine-abandon", 0.99}, {"context-cancel", 0.99}, {"timer-panic", 0.99}, {"errgroup", 0.99}, {"io-timeout", 0.99}},
		factor: 1.2, extra: 2,
	},
	{
		title:       "2000 connections, the httpbin in a process of its own, timeout 200 ms, an http op of 1 s (ideal 10000 req/s)",
		connections: 2000, seconds: 5, pairs: intervalRounds,
		query: "op=http&delay=1&timeout=200ms", timeout: 200 * time.Millisecond, apart: true,
		rows:   []loadRow{{bareAbandon, 0}, {"goroutine-abandon", 0.88}, {"context-cancel", 0.92}, {"timer-panic", 0.92}, {"errgroup", 0.88}, {"io-timeout", 0.92}},
		factor: 1.5,
	},
}

// pair is a measurement of a handler, and one of the bare handler right before or after it.
type pair struct{ it, bare result }

// load prints the scenes. Each measurement has fresh processes; a handler is
// measured right before or after the bare handler, in turns.
func load(ctx context.Context, b built) error {
	for _, s := range scenes {
		fmt.Printf("%s, wrk for %d s, medians of %d pairs with the bare handler in turns, ratios with their 95%% interval:\n\n", s.title, s.seconds, s.pairs)
		header("", "req/s", "beside bare", "overshoot p50, p99 (ms)", "p99 over its bar (ms)", "processor time (µs a request)", "beside bare", "allocations a request", "unexpected answers", "goroutines before, 2 s after", "")
		results := map[string][]pair{}
		for n := range s.pairs {
			for _, of := range s.rows {
				p, err := s.pair(ctx, b.path("gotimeout"), of.name, n)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", s.title, of.name, err)
				}
				results[of.name] = append(results[of.name], p)
			}
		}
		s.printBare(results)
		for _, of := range s.rows {
			s.print(of, results[of.name])
		}
		fmt.Println()
	}
	return nil
}

// pair measures a handler and the bare handler, which is first in every second pair. The
// last pair waits until the work that the lab left behind has ended.
func (s scene) pair(ctx context.Context, path, name string, n int) (p pair, err error) {
	last := n == s.pairs-1
	if n%2 == 0 {
		p.bare, err = s.measure(ctx, path, "bare", false)
	}
	if err == nil {
		p.it, err = s.measure(ctx, path, name, last)
	}
	if err == nil && n%2 == 1 {
		p.bare, err = s.measure(ctx, path, "bare", false)
	}
	return p, err
}

// column returns one figure of each result.
func column(results []pair, of func(pair) result, figure func(result) float64) (values []float64) {
	for _, p := range results {
		values = append(values, figure(of(p)))
	}
	return values
}

func itself(p pair) result { return p.it }
func beside(p pair) result { return p.bare }

func rateOf(r result) float64        { return r.rate }
func p50Of(r result) float64         { return r.p50 }
func p99Of(r result) float64         { return r.p99 }
func processorOf(r result) float64   { return r.processor }
func allocationsOf(r result) float64 { return r.allocations }

// estimates compares a figure of each pair.
func estimates(results []pair, figure func(result) float64, of func(it, bare float64) float64) estimate {
	return estimateOf(pairwise(column(results, itself, figure), column(results, beside, figure), of))
}

// overshoot returns the medians of p50 and p99, where calls are cut.
func (s scene) overshoot(results []pair, of func(pair) result) string {
	if s.timeout == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f, %.1f", stats.Median(column(results, of, p50Of)), stats.Median(column(results, of, p99Of)))
}

func (s scene) printBare(results map[string][]pair) {
	var all []pair
	odd := 0
	for _, pairs := range results {
		all = append(all, pairs...)
	}
	for _, p := range all {
		odd += p.bare.unexpected
	}
	row("bare", number(stats.Median(column(all, beside, rateOf))), "1", s.overshoot(all, beside), "", fmt.Sprintf("%.1f", stats.Median(column(all, beside, processorOf))), "1",
		number(stats.Median(column(all, beside, allocationsOf))), fmt.Sprint(odd), "", "")
}

func (s scene) print(of loadRow, results []pair) {
	rate, processor := estimates(results, rateOf, ratio), estimates(results, processorOf, ratio)
	allocations := stats.Median(column(results, itself, allocationsOf))
	odd := 0
	for _, p := range results {
		odd += p.it.unexpected
	}
	last := results[len(results)-1].it
	judged := rate.atLeast(of.atLeast)
	over := ""
	if s.factor > 0 {
		excess := estimates(results, p99Of, func(it, bare float64) float64 { return it - (bare*s.factor + s.extra) })
		over, judged = excess.text("%.1f"), max(judged, excess.atMost(0))
	}
	if odd > 0 || last.after > last.before || s.allocations > 0 && allocations > s.allocations {
		judged = missed
	}
	goroutines, verdict := fmt.Sprintf("%d, %d", last.before, last.after), judged.String()
	if of.atLeast == 0 {
		goroutines, verdict = "", ""
	}
	row(of.name, number(stats.Median(column(results, itself, rateOf))), rate.text("%.3f"), s.overshoot(results, itself), over,
		fmt.Sprintf("%.1f", stats.Median(column(results, itself, processorOf))), processor.text("%.3f"), number(allocations), fmt.Sprint(odd), goroutines, verdict)
}

// measure loads one handler. If the handler is the lab's and counts is true, measure counts
// the goroutines before and after.
func (s scene) measure(ctx context.Context, path, name string, counts bool) (r result, err error) {
	httpbin := ""
	if s.apart {
		backend, err := startServer(ctx, os.Args[0], "as", "httpbin")
		if err != nil {
			return r, err
		}
		defer backend.stop()
		httpbin = backend.url
	}
	isBare := name == "bare" || name == bareAbandon
	// The limits allow the goroutines that goroutine-abandon leaves at 10,000 requests a
	// second.
	args := []string{"serve", "--addr=127.0.0.1:0", "--http-url=" + httpbin, "--max-in-flight=4096", "--max-abandoned=16384"}
	if isBare {
		path, args = os.Args[0], []string{"as", "bare", httpbin}
	}
	server, err := startServer(ctx, path, args...)
	if err != nil {
		return r, err
	}
	defer server.stop()
	counts = counts && !isBare
	before := 0
	if counts {
		if before, err = goroutines(server.url); err != nil {
			return r, err
		}
	}
	used, err := spent(server.url)
	if err != nil {
		return r, err
	}
	if r, err = s.wrk(ctx, server.url+"/"+name+"?"+s.query); err != nil {
		return r, err
	}
	after, err := spent(server.url)
	if err != nil {
		return r, err
	}
	r.processor = 1e6 * (after.processor - used.processor) / r.requests
	r.allocations = (after.allocations - used.allocations) / r.requests
	r.before = before
	if counts {
		r.after, err = settled(server.url)
	}
	return r, err
}

// usage is the processor time and the allocations of a server's process since its start.
type usage struct{ processor, allocations float64 } // seconds, objects

// spent reads the usage from a server's /metrics.
func spent(url string) (u usage, err error) {
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		return u, err
	}
	defer resp.Body.Close()
	found := 0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		to, wanted := map[string]*float64{"process_cpu_seconds_total": &u.processor, "go_memstats_mallocs_total": &u.allocations}[name]
		if wanted {
			found++
			if *to, err = strconv.ParseFloat(value, 64); err != nil {
				return u, fmt.Errorf("GET /metrics: %w", err)
			}
		}
	}
	if found != 2 {
		return u, fmt.Errorf("GET /metrics: %s, with %d of 2 figures", resp.Status, found)
	}
	return u, nil
}

// lab is the part of GET /backends about the work that goes on.
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
	_, _ = look(url) // opens the connections that later looks use
	l, err := look(url)
	return l.Goroutines, err
}

// settled waits until the work left behind has ended, and then at most 2 s until the
// number of goroutines no longer falls.
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

// result has the figures of wrk for one handler, and the usage of the handler's process.
type result struct {
	requests      float64
	rate          float64 // answers per second
	p50, p99      float64 // overshoot in ms
	processor     float64 // µs a request
	allocations   float64 // a request
	unexpected    int     // socket errors, and answers with another status than the scene's
	before, after int     // goroutines
}

// script makes wrk count the answers with an unexpected status, and print figures without
// rounding. It spreads the first requests of args[2] connections a thread over args[3] ms:
// sent all at once, they would make the p99 of a short load.
const script = `
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init(args)
  expected, odd = tonumber(args[1]), 0
  local first, spread = tonumber(args[2]), tonumber(args[3])
  if spread > 0 then
    function delay()
      if first == 0 then return 0 end
      first = first - 1
      return math.random(0, spread)
    end
  end
end
function response(status) if status ~= expected then odd = odd + 1 end end
function done(summary, latency, requests)
  local bad = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  for _, thread in ipairs(threads) do bad = bad + thread:get("odd") end
  print(string.format("RESULT %d %f %f %f %d", summary.requests, summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, bad))
end
`

var resultLine = regexp.MustCompile(`(?m)^RESULT (\d+) (\S+) (\S+) (\S+) (\d+)$`)

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
		"-d", strconv.Itoa(s.seconds)+"s", "--timeout", "10s", "-s", lua, url,
		"--", s.expected(), strconv.Itoa(s.connections/2), strconv.FormatInt(s.timeout.Milliseconds(), 10)).CombinedOutput()
	m := resultLine.FindSubmatch(out)
	if err != nil || m == nil {
		return r, fmt.Errorf("wrk: %v: %s", err, out)
	}
	figures := make([]float64, 5)
	for i := range figures {
		figures[i], _ = strconv.ParseFloat(string(m[i+1]), 64) // the pattern matches a number
	}
	if figures[0] == 0 {
		return r, fmt.Errorf("wrk had no answer within %d s: is the machine busy?", s.seconds)
	}
	bound := float64(s.timeout.Milliseconds())
	return result{
		requests: figures[0], rate: figures[1], p50: figures[2] - bound, p99: figures[3] - bound, unexpected: int(figures[4]),
	}, nil
}
