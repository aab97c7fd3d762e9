//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// BenchmarkListeners is what a lab in a process of its own takes of a processor
// while 500 listen to /events. An operation is a second:
//
//	go test -run '^$' -bench Listeners -benchtime 20x ./cmd/gotimeout
func BenchmarkListeners(b *testing.B) {
	const listeners = 500
	lab := process(b, []string{"--addr=127.0.0.1:0"})
	defer func() { _ = lab.Process.Kill(); _ = lab.Wait() }()
	url := servingAt.FindStringSubmatch(lab.log)[1]
	for range 8 { // receipts, as many as an event tells of
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
	hear() // the first moments, with the history
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
