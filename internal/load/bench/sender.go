//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

const (
	rounds      = 7
	connections = "64"
	seconds     = "2s" // of each load
)

// noop serves an answer in the words of a lab, which costs nothing, and prints
// its URL.
func noop() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", listener.Addr())
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"status":"completed","receipt":"/receipts/x-1","error":null}`)
	}))
}

// startNoop starts that server in a process of its own.
func startNoop(ctx context.Context) (url string, stop func(), err error) {
	server := exec.CommandContext(ctx, os.Args[0], "noop")
	out, err := server.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := server.Start(); err != nil {
		return "", nil, err
	}
	stop = func() { _ = server.Process.Kill(); _ = server.Wait() }
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("the no-op server prints no URL: %w", err)
	}
	return strings.TrimSpace(line), stop, nil
}

// sender measures what sends compare's load.
func (b built) sender(ctx context.Context) error {
	url, stop, err := startNoop(ctx)
	if err != nil {
		return err
	}
	defer stop()
	fmt.Printf("Requests per second to a no-op endpoint in a process of its own, %s connections, %s of load, median of %d rounds in turns:\n\n", connections, seconds, rounds)
	senders := []struct {
		name string
		send func(context.Context, string) (float64, error)
	}{{"compare", b.compare}, {"`vegeta attack -rate 0`", b.vegeta}, {"wrk", wrk}}
	rates := make([][]float64, len(senders))
	for range rounds {
		for i, s := range senders {
			rate, err := s.send(ctx, url)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			rates[i] = append(rates[i], rate)
		}
	}
	header("", "requests/s", "beside vegeta, median of pairs", "bar", "")
	for i, s := range senders {
		ratio := median(ratios(rates[i], rates[1]))
		bar, met := "", ""
		if i == 0 {
			bar, met = "≥ 0.80", verdict(ratio >= 0.8)
		}
		row(s.name, number(median(rates[i])), fmt.Sprintf("%.2f", ratio), bar, met)
	}
	return b.schedule(ctx, url)
}

func (b built) compare(ctx context.Context, url string) (float64, error) {
	figures, err := b.benchmark(ctx, "compare.test", "BenchmarkSend", seconds, "-url="+url)
	return figures["requests/s"], err
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

var wrkRate = regexp.MustCompile(`Requests/sec:\s*([0-9.]+)`)

func wrk(ctx context.Context, url string) (float64, error) {
	out, err := exec.CommandContext(ctx, "wrk", "-t2", "-c"+connections, "-d"+seconds, url).CombinedOutput()
	found := wrkRate.FindSubmatch(out)
	if err != nil || found == nil {
		return 0, fmt.Errorf("%v: %s", err, out)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

// schedule measures how punctual compare is.
func (b built) schedule(ctx context.Context, url string) error {
	var p99, within []float64
	for range 3 {
		figures, err := b.benchmark(ctx, "compare.test", "BenchmarkSchedule", "20000x", "-url="+url)
		if err != nil {
			return err
		}
		p99, within = append(p99, figures["p99-ms-late"]), append(within, figures["%-within-5ms"])
	}
	fmt.Printf("\n2,000 requests a second for 10 s to the same endpoint, median of 3 runs:\n\n")
	header("", "measured", "bar", "")
	row("sent later than due, p99", fmt.Sprintf("%.2f ms", median(p99)), "≤ 5 ms", verdict(median(p99) <= 5))
	row("sent within 5 ms", fmt.Sprintf("%.2f%%", median(within)), "≥ 99%", verdict(median(within) >= 99))
	fmt.Println()
	return nil
}
