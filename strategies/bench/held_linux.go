package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gotimeout/internal/stats"
	"gotimeout/internal/wire"
)

// patient is how long a sender waits for an answer. A request that has none by then has no outcome.
const patient = 30 * time.Second

// address returns address n of 2^16 of this machine: a public lab takes each for another client.
func address(net16, n int) *net.TCPAddr {
	return &net.TCPAddr{IP: net.IPv4(127, byte(net16), byte(n>>8), byte(n))}
}

// clientAt returns a client whose connections come from an address.
func clientAt(from *net.TCPAddr) *http.Client {
	dialer := net.Dialer{LocalAddr: from}
	return &http.Client{Timeout: patient, Transport: &http.Transport{
		DialContext: dialer.DialContext, MaxIdleConnsPerHost: 1 << 16, DisableCompression: true,
	}}
}

// outcomes are what became of the requests of a load.
type outcomes struct {
	mu       sync.Mutex
	sent     int
	took     map[int][]time.Duration // by the status of the answer; 0 is a connection that the lab closed or refused
	nothing  int                     // requests without an outcome
	receipts []string                // the IDs in the answers
}

// answer is the part of an answer that the tables use.
type answer struct{ Receipt string }

// send sends one request, and waits for its outcome.
func (o *outcomes) send(ctx context.Context, client *http.Client, url string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		panic(err) // a URL of this program
	}
	began, status := time.Now(), 0
	var got answer
	resp, err := client.Do(req)
	if err == nil {
		var body []byte
		if body, err = io.ReadAll(resp.Body); err == nil {
			status = resp.StatusCode
			_ = json.Unmarshal(body, &got) // an answer without a receipt has none
		}
		resp.Body.Close()
	}
	took := time.Since(began)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent++
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		o.nothing++
		return
	}
	if o.took == nil {
		o.took = map[int][]time.Duration{}
	}
	o.took[status] = append(o.took[status], took)
	if got.Receipt != "" {
		o.receipts = append(o.receipts, got.Receipt[strings.LastIndexByte(got.Receipt, '/')+1:])
	}
}

// steady sends requests at a steady rate until ctx is done, whatever their answers, and returns their outcomes when
// each has one. Request n is sent by one of the clients in turn.
func steady(ctx context.Context, clients []*http.Client, url string, rate int) *outcomes {
	o := new(outcomes)
	var all sync.WaitGroup
	began := time.Now()
	for n := 0; ctx.Err() == nil; n++ {
		select {
		case <-time.After(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(rate)))):
			all.Go(func() { o.send(context.WithoutCancel(ctx), clients[n%len(clients)], url) })
		case <-ctx.Done():
		}
	}
	all.Wait()
	for _, c := range clients {
		c.CloseIdleConnections()
	}
	return o
}

// of returns how many requests had one of the statuses.
func (o *outcomes) of(statuses ...int) (n int) {
	for _, s := range statuses {
		n += len(o.took[s])
	}
	return n
}

// p99 returns the 99th percentile of the times to the answers with one of the statuses, 0 without any.
func (o *outcomes) p99(statuses ...int) time.Duration {
	var all []time.Duration
	for _, s := range statuses {
		all = append(all, o.took[s]...)
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return stats.Percentile(all, 99)
}

// startLimited starts a server that may have a number of files open.
func startLimited(ctx context.Context, files int, path string, args ...string) (*server, error) {
	return startServer(ctx, "sh", append([]string{"-c", `ulimit -n "$0"; exec "$@"`, strconv.Itoa(files), path}, args...)...)
}

// described returns a lab's answer to GET /lab.
func described(url string) (l wire.Lab, err error) {
	resp, err := http.Get(url + "/lab")
	if err != nil {
		return l, err
	}
	defer resp.Body.Close()
	return l, json.NewDecoder(resp.Body).Decode(&l)
}

// megabytes reads a figure of a process's memory from the kernel: VmRSS is now, VmHWM the most so far.
func (s *server) megabytes(name string) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, text, there := strings.Cut(string(status), name+":")
	if !there {
		return 0, fmt.Errorf("the kernel shows no %s of process %d", name, s.cmd.Process.Pid)
	}
	kb, err := strconv.ParseFloat(strings.Fields(text)[0], 64)
	return kb * 1024 / 1e6, err
}

// forgetMost begins the most of the process's memory again (proc(5), clear_refs).
func (s *server) forgetMost() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0)
}
