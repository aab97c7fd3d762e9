package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gotimeout/internal/results"
	"gotimeout/internal/stats"
)

const (
	senderRounds = 7
	connections  = "64"
	seconds      = "2s" // of each load
)

// generator measures the cost of compare and of the receipts.
func generator(ctx context.Context, b built) error {
	for _, measure := range []func(context.Context) error{b.sender, b.receipts, b.telemetry, b.report} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sender compares the sender of compare's load with other load generators.
func (b built) sender(ctx context.Context) error {
	lab, err := startServer(ctx, os.Args[0], "as", "lab-noop")
	if err != nil {
		return err
	}
	defer lab.stop()
	fmt.Printf("Requests per second to a no-op endpoint in a process of its own, %s connections, %s of load, median of %d rounds in turns:\n\n", connections, seconds, senderRounds)
	senders := []struct {
		name string
		send func(context.Context, string) (float64, error)
	}{{"compare", b.compare}, {"`vegeta attack -rate 0`", b.vegeta}, {"wrk", wrkRate}}
	rates := make([][]float64, len(senders))
	for range senderRounds {
		for i, s := range senders {
			rate, err := s.send(ctx, lab.url)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			rates[i] = append(rates[i], rate)
		}
	}
	header("", "requests/s", "beside vegeta, median of pairs and its 95% interval", "bar", "")
	for i, s := range senders {
		share := estimateOf(pairwise(rates[i], rates[1], ratio))
		bar, judged := "", ""
		if i == 0 {
			bar, judged = "≥ 0.80", share.atLeast(0.8).String()
		}
		row(s.name, number(stats.Median(rates[i])), share.text("%.2f"), bar, judged)
	}
	return b.schedule(ctx, lab.url)
}

func (b built) compare(ctx context.Context, url string) (float64, error) {
	figures, err := b.benchmark(ctx, "load.test", "BenchmarkSend", seconds, "-url="+url)
	return stats.Median(figures["requests/s"]), err
}

func (b built) vegeta(ctx context.Context, url string) (float64, error) {
	results := b.path("vegeta.bin")
	attack := exec.CommandContext(ctx, b.path("vegeta"), "attack", "-rate=0", "-workers="+connections, "-max-workers="+connections,
		"-duration="+seconds, "-output="+results)
	attack.Stdin = strings.NewReader("GET " + url + "\n")
	if out, err := attack.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, out)
	}
	out, err := exec.CommandContext(ctx, b.path("vegeta"), "report", "-type=json", results).Output()
	var report struct{ Throughput, Success float64 }
	if err == nil {
		err = json.Unmarshal(out, &report)
	}
	if err == nil && report.Success != 1 {
		err = fmt.Errorf("%.2f%% of the answers are 200", 100*report.Success)
	}
	return report.Throughput, err
}

var wrkPrinted = regexp.MustCompile(`Requests/sec:\s*([0-9.]+)`)

func wrkRate(ctx context.Context, url string) (float64, error) {
	out, err := exec.CommandContext(ctx, "wrk", "-t2", "-c"+connections, "-d"+seconds, url).CombinedOutput()
	found := wrkPrinted.FindSubmatch(out)
	if err != nil || found == nil {
		return 0, fmt.Errorf("%v: %s", err, out)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

// schedule measures how late the sender sends requests.
func (b built) schedule(ctx context.Context, url string) error {
	var p99, within []float64
	for range 3 {
		figures, err := b.benchmark(ctx, "load.test", "BenchmarkSchedule", "20000x", "-url="+url)
		if err != nil {
			return err
		}
		p99, within = append(p99, figures["p99-ms-late"]...), append(within, figures["%-within-5ms"]...)
	}
	fmt.Printf("\n2,000 requests a second for 10 s to the same endpoint, median of 3 runs:\n\n")
	header("", "measured", "bar", "")
	row("sent later than due, p99", fmt.Sprintf("%.2f ms", stats.Median(p99)), "≤ 5 ms", verdict(stats.Median(p99) <= 5))
	row("sent within 5 ms", fmt.Sprintf("%.2f%%", stats.Median(within)), "≥ 99%", verdict(stats.Median(within) >= 99))
	fmt.Println()
	return nil
}

// receipts measures the cost of the lab's receipts.
func (b built) receipts(ctx context.Context) error {
	const pairs = 10 // in a run: a second of load with receipts, and one without
	figures, err := b.benchmark(ctx, "handlers.test", "BenchmarkReceipts", fmt.Sprint(pairs, "x"), fmt.Sprint("-test.count=", intervalRounds))
	if err != nil {
		return err
	}
	fmt.Printf("The lab under `wrk -t2 -c64`, context-cancel on an http op without delay, with receipts and without, a second each in turns, %d runs of %d pairs, medians of the runs' medians with their 95%% interval:\n\n", intervalRounds, pairs)
	// The table has no median of the rates without receipts. The machine's speed drifts
	// from pair to pair, so the two medians and the median of the ratios would contradict
	// each other.
	header("", "with receipts", "beside without, median of pairs", "bar", "")
	percent := func(ratios []float64) (all []float64) {
		for _, ratio := range ratios {
			all = append(all, 100*(ratio-1))
		}
		return all
	}
	rate, processor := estimateOf(percent(figures["requests/s-ratio"])), estimateOf(percent(figures["µs/request-ratio"]))
	row("requests per second", number(stats.Median(figures["requests/s"])), rate.text("%+.1f%%"), "≥ -3%", rate.atLeast(-3).String())
	row("processor time a request, µs", number(stats.Median(figures["µs/request"])), processor.text("%+.1f%%"), "", "")
	more := estimateOf(pairwise(figures["B/request"], figures["B/request-without"], func(with, without float64) float64 { return with - without }))
	row("bytes allocated a request", number(stats.Median(figures["B/request"])), more.text("%+.0f"), "≤ +800", more.atMost(800).String())
	fmt.Println()
	return nil
}

// telemetry measures the cost of the metrics and of the traces.
func (b built) telemetry(ctx context.Context) error {
	const rounds = 5 // in a run: a load on each lab, in turns
	runs := fmt.Sprint("-test.count=", intervalRounds)
	costs, err := b.benchmark(ctx, "gotimeout.test", "BenchmarkInstruments", fmt.Sprint(rounds, "x"), runs)
	if err != nil {
		return err
	}
	scrapes, err := b.benchmark(ctx, "gotimeout.test", "BenchmarkScrape", "50x", runs)
	if err != nil {
		return err
	}
	fmt.Printf("The processor time of a request, beside that of a lab without metrics and traces, in turns, %d runs of %d rounds, medians of the runs' medians with their 95%% interval; and the time of a GET /metrics:\n\n", intervalRounds, rounds)
	header("", "measured", "bar", "")
	percent := func(name string) estimate {
		var all []float64
		for _, ratio := range costs[name] {
			all = append(all, 100*(ratio-1))
		}
		return estimateOf(all)
	}
	row("metrics", percent("metrics").text("%+.1f%%"), "", "")
	row("metrics, and traces of 1% of the requests", percent("traces-1%").text("%+.1f%%"), "≤ +10%", percent("traces-1%").atMost(10).String())
	row("metrics, and traces of all requests", percent("traces").text("%+.1f%%"), "", "")
	scrape := estimateOf(scrapes["least-ms"])
	row("GET /metrics", scrape.text("%.2f ms"), "≤ 3 ms", scrape.atMost(3).String())
	fmt.Println()
	return nil
}

const records = 1_000_000

// report measures gotimeout report on a large file.
func (b built) report(ctx context.Context) error {
	path := b.path("results.jsonl")
	if err := writeRecords(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	var took, resident []float64
	for range 5 {
		report := exec.CommandContext(ctx, b.path("gotimeout"), "report", path)
		began := time.Now()
		if out, err := report.CombinedOutput(); err != nil {
			return fmt.Errorf("gotimeout report: %w: %s", err, out)
		}
		took = append(took, time.Since(began).Seconds())
		used := report.ProcessState.SysUsage().(*syscall.Rusage)
		resident = append(resident, float64(used.Maxrss)/1024)
	}
	fmt.Printf("`gotimeout report` of %d records in %d MB, median of %d runs:\n\n", records, info.Size()>>20, len(took))
	header("", "measured", "bar", "")
	row("time", fmt.Sprintf("%.2f s", stats.Median(took)), "≤ 5 s", verdict(stats.Median(took) <= 5))
	row("memory at most", fmt.Sprintf("%.0f MiB", stats.Median(resident)), "≤ 200 MiB", verdict(stats.Median(resident) <= 200))
	return nil
}

// writeRecords writes a comparison of 20 cells. Half of the records are requests,
// half are receipts.
func writeRecords(path string) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if closed := file.Close(); err == nil {
			err = closed
		}
	}()
	w := results.NewWriter(file)
	const cells = 20
	all := []any{&results.Run{Type: results.TypeRun, Format: results.Format}}
	for cell := 1; cell <= cells; cell++ {
		all = append(all, &results.Cell{
			Type: results.TypeCell, Cell: cell, Strategy: fmt.Sprint("strategy-", cell), Op: "http", Ctx: "aware", Network: "none",
			Repeat: 1, Timeout: 250, Delays: []float64{10, 10, 10, 1000}, Nominal: []float64{10, 10, 10, 1000},
		})
		for n := range records / cells / 2 {
			all = append(all, recordsOf(cell, n)...)
		}
		all = append(all, &results.End{Type: results.TypeEnd, Cell: cell, Answered: 2000, Drained: 3000})
		for _, record := range all {
			if err := w.Add(record); err != nil {
				return err
			}
		}
		all = all[:0]
	}
	if err := w.Add(&results.Done{Type: results.TypeDone}); err != nil {
		return err
	}
	return w.Flush()
}

// recordsOf returns a request and its receipt, with figures that vary as real figures do.
func recordsOf(cell, n int) []any {
	id, at := fmt.Sprintf("abcdef-%d", cell*records+n), 5*float64(n)
	answered := 10 + float64(n*7919%1000)/1000
	status, delay := "completed", 10.0
	if n%4 == 3 {
		status, answered, delay = "timed_out", answered+240, 1000
	}
	ended, straggle, waste := delay+answered/100, max(0, delay-answered), max(0, delay-answered)
	return []any{
		&results.Request{
			Type: results.TypeRequest, Cell: cell, Phase: results.Load, At: at, Late: answered / 1000, Answered: answered + 0.417,
			Delay: delay, Status: status, Receipt: id,
		},
		&results.Receipt{
			Type: results.TypeReceipt, Cell: cell, Phase: results.Load, ID: id, Complete: true, Status: status, Delay: delay,
			Started: at + 0.201, Answered: answered, Ended: &ended, Straggle: &straggle, BackendEnded: &ended, Waste: &waste, Reused: 1, Kept: 1,
		},
	}
}

// benchmark runs a benchmark of a test binary, and returns the figures of each run
// by unit.
func (b built) benchmark(ctx context.Context, binary, name, times string, args ...string) (map[string][]float64, error) {
	args = append([]string{"-test.run=^$", "-test.bench=^" + name + "$", "-test.benchtime=" + times}, args...)
	out, err := exec.CommandContext(ctx, b.path(binary), args...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, out)
	}
	figures := map[string][]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], name) {
			continue
		}
		for i := 2; i+1 < len(fields); i += 2 {
			figure, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%s printed %q", name, lines.Text())
			}
			figures[fields[i+1]] = append(figures[fields[i+1]], figure)
		}
	}
	if len(figures) == 0 {
		return nil, fmt.Errorf("%s printed no figures: %s", name, out)
	}
	return figures, nil
}
