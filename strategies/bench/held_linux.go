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
	mu  sync.Mutex
	all []outcome
}

type outcome struct {
	sent    time.Time
	took    time.Duration
	status  int    // of the answer, or closed or none
	receipt string // the ID in the answer, "" without one
}

const (
	closed = 0  // the lab closed or refused the connection
	none   = -1 // the request has no outcome
)

// send sends one request, and waits for its outcome.
func (o *outcomes) send(ctx context.Context, client *http.Client, url string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		panic(err) // a URL of this program
	}
	one := outcome{sent: time.Now(), status: closed}
	resp, err := client.Do(req)
	if err == nil {
		var body []byte
		if body, err = io.ReadAll(resp.Body); err == nil {
			var answer struct{ Receipt string }
			_ = json.Unmarshal(body, &answer) // an answer without a receipt has none
			one.status, one.receipt = resp.StatusCode, answer.Receipt[strings.LastIndexByte(answer.Receipt, '/')+1:]
		}
		resp.Body.Close()
	}
	one.took = time.Since(one.sent)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		one.status = none
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, one)
}

// steady sends requests at a steady rate until ctx is done, whatever their answers, and returns their outcomes when
// each has one. The clients take turns, and so do the URLs.
func steady(ctx context.Context, clients []*http.Client, rate int, urls ...string) *outcomes {
	o := new(outcomes)
	var all sync.WaitGroup
	began := time.Now()
	for n := 0; ctx.Err() == nil; n++ {
		select {
		case <-time.After(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(rate)))):
			all.Go(func() { o.send(context.WithoutCancel(ctx), clients[n%len(clients)], urls[n%len(urls)]) })
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
	for _, one := range o.all {
		if slices.Contains(statuses, one.status) {
			n++
		}
	}
	return n
}

// p99 returns the 99th percentile of the times to the answers with a status, 0 without any.
func (o *outcomes) p99(status int) time.Duration {
	var all []time.Duration
	for _, one := range o.all {
		if one.status == status {
			all = append(all, one.took)
		}
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
