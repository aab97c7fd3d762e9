package slowops_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"gotimeout/slowops"
)

// BenchmarkTimeouts measures by how much each timeout is late, of calls one
// after the other: go test -run '^$' -bench Timeouts -benchtime 200x ./slowops
func BenchmarkTimeouts(b *testing.B) {
	const bound = 20 * time.Millisecond
	op := targets(b)
	for _, of := range []struct {
		name string
		call slowops.Call
		code string
	}{
		{"connect", slowops.Call{Target: "blackhole", ConnectTimeout: bound, IOTimeout: time.Minute}, "connect_timeout"},
		{"tls", slowops.Call{Target: "slow-tls", TLSTimeout: bound, IOTimeout: time.Minute}, "tls_timeout"},
		{"header", slowops.Call{Target: "silent", HeaderTimeout: bound, IOTimeout: time.Minute}, "header_timeout"},
		{"header-h2", slowops.Call{Target: "silent-h2", HeaderTimeout: bound, IOTimeout: time.Minute}, "header_timeout"},
		{"read", slowops.Call{Target: "stall", ReadTimeout: bound, IOTimeout: time.Minute}, "read_timeout"},
		{"read-h2", slowops.Call{Target: "stall-h2", ReadTimeout: bound, IOTimeout: time.Minute}, "read_timeout"},
		{"total", slowops.Call{Target: "drip", Delay: time.Minute, IOTimeout: bound}, "total_timeout"},
	} {
		b.Run(of.name, func(b *testing.B) {
			var late []time.Duration
			for b.Loop() {
				start := time.Now()
				err := op.Do(context.Background(), of.call)
				late = append(late, time.Since(start)-bound)
				if code(err) != of.code {
					b.Fatalf("got %s, want %s", code(err), of.code)
				}
			}
			slices.Sort(late)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(late[len(late)/2].Seconds()*1e3, "p50-ms")
			b.ReportMetric(late[(len(late)-1)*99/100].Seconds()*1e3, "p99-ms")
			b.ReportMetric(late[len(late)-1].Seconds()*1e3, "max-ms")
		})
	}
}
