package main

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	soakTime  = 10 * time.Minute
	soakWarm  = 2 * time.Minute // until the ledger is full and the pools are open; not fitted
	soakEvery = 2 * time.Second
	soakRate  = 200
)

// soaked is a figure of the lab's process, and the most by which it may grow in a minute.
type soaked struct {
	name, format string
	atMost       float64
	read         func(*server) (float64, error)
}

var soakedFigures = []soaked{
	{"goroutines", "%.2f", 0.5, func(s *server) (float64, error) { return metric(s.url, "go_goroutines") }},
	{"heap after a collection, MB", "%.3f", 0.1, func(s *server) (float64, error) {
		next, err := metric(s.url, "go_memstats_next_gc_bytes") // twice the heap that the last collection left
		return next / 2 / 1e6, err
	}},
	{"file descriptors", "%.2f", 0.5, func(s *server) (float64, error) {
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
		return float64(len(open)), err
	}},
}

// soak prints by how much a lab grows under a steady load of all ops and strategies, half of whose runs are cut.
func soak(ctx context.Context, b built) error { return b.soak(ctx, soakTime, soakWarm) }

func (b built) soak(ctx context.Context, long, warm time.Duration) error {
	s, err := startServer(ctx, b.path("gotimeout"), "serve", "--addr=127.0.0.1:0", "--log-slow=0")
	if err != nil {
		return err
	}
	defer s.stop()
	lab, err := described(s.url)
	if err != nil {
		return err
	}
	loading, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	var o *outcomes
	var beside sync.WaitGroup
	began := time.Now()
	beside.Go(func() {
		o = steady(loading, []*http.Client{clientAt(nil)}, soakRate, soakURLs(s.url, lab.Strategies)...)
	})
	at, values := []float64{}, make([][]float64, len(soakedFigures))
	for wait(loading, warm); loading.Err() == nil; wait(loading, soakEvery) {
		at = append(at, time.Since(began).Minutes())
		for i, f := range soakedFigures {
			v, err := f.read(s)
			if err != nil {
				return err
			}
			values[i] = append(values[i], v)
		}
	}
	beside.Wait()
	if lab, err = described(s.url); err != nil {
		return err
	}
	fmt.Printf("%d requests a second for %s, of six ops under all strategies but subprocess-kill and offload, half of them with a timeout shorter than their op. The slope of a line through the figures of each %s after the first %s, with its 95%% interval:\n\n",
		soakRate, long, soakEvery, warm)
	header("", "first", "last", "slope, a minute", "bar", "")
	for i, f := range soakedFigures {
		slope := slopeOf(at, values[i])
		last := len(at) - 1
		row(f.name, number(values[i][0]), number(values[i][last]), slope.text(f.format), fmt.Sprintf("≤ %g", f.atMost), slope.atMost(f.atMost).String())
	}
	return recorded(o, lab.Now.LastReceipt)
}

// soakURLs are those of each op under each strategy of the lab that suits it, cut and not cut.
func soakURLs(base string, strategies []string) (all []string) {
	for _, strategy := range strategies {
		for _, op := range []string{"http", "cache", "db", "postgres", "redis", "grpc"} {
			if strategy == "subprocess-kill" || strategy == "offload" || op != "db" && (strategy == "server-limit" || strategy == "kill-query") {
				continue // a process for each run, a job whose end has no answer, and what only a database has
			}
			for _, timeout := range []string{"10ms", "500ms"} {
				all = append(all, fmt.Sprintf("%s/%s?op=%s&delay=20ms&timeout=%s", base, strategy, op, timeout))
			}
		}
	}
	return all
}

// recorded prints how many requests have an outcome and a receipt; the number of the last receipt is how many there are.
func recorded(o *outcomes, last string) error {
	receipts, err := strconv.Atoi(last[strings.IndexByte(last, '-')+1:])
	if err != nil {
		return fmt.Errorf("the last receipt is %q: %w", last, err)
	}
	answered := map[string]bool{}
	for _, one := range o.all {
		if one.receipt != "" {
			answered[one.receipt] = true
		}
	}
	fmt.Println()
	header("requests", "completed", "timed out", "failed", "refused", "closed", "no outcome", "bar", "receipts", "of an answer", "")
	row(fmt.Sprint(len(o.all)), fmt.Sprint(o.of(http.StatusOK)), fmt.Sprint(o.of(http.StatusGatewayTimeout)), fmt.Sprint(o.of(http.StatusBadGateway)), fmt.Sprint(o.of(http.StatusServiceUnavailable)),
		fmt.Sprint(o.of(closed)), fmt.Sprint(o.of(none)), "0", fmt.Sprint(receipts), fmt.Sprint(len(answered)), verdict(o.of(none) == 0 && receipts == len(answered)))
	return nil
}

// slopeOf is the slope of the line of least squares, with its 95% interval for residuals that are independent.
func slopeOf(x, y []float64) estimate {
	n := float64(len(x))
	var sx, sy, sxx, sxy float64
	for i := range x {
		sx, sy = sx+x[i], sy+y[i]
	}
	for i := range x {
		dx := x[i] - sx/n
		sxx, sxy = sxx+dx*dx, sxy+dx*(y[i]-sy/n)
	}
	slope := sxy / sxx
	var residuals float64
	for i := range x {
		r := y[i] - sy/n - slope*(x[i]-sx/n)
		residuals += r * r
	}
	half := 1.96 * math.Sqrt(residuals/(n-2)/sxx)
	return estimate{slope, slope - half, slope + half}
}

// metric reads a figure of a server's /metrics.
func metric(url, name string) (float64, error) {
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("GET /metrics: %s, without %s", resp.Status, name)
}
