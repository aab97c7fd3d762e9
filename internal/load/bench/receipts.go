//go:build linux

package main

import (
	"context"
	"fmt"
)

// pairs are seconds of load with receipts and without.
const pairs = 60

// receipts measures what those of the lab cost.
func (b built) receipts(ctx context.Context) error {
	figures, err := b.benchmark(ctx, "handlers.test", "BenchmarkReceipts", fmt.Sprint(pairs, "x"))
	if err != nil {
		return err
	}
	fmt.Printf("The lab under `wrk -t2 -c64`, context-cancel on an http op without delay, with receipts and without, a second each in turns, %d pairs, medians:\n\n", pairs)
	header("", "with", "without", "cost, median of pairs", "bar", "")
	rate := 100 * (1 - figures["requests/s-ratio"])
	row("requests per second", number(figures["requests/s"]), number(figures["requests/s-without"]), fmt.Sprintf("%.1f%%", rate), "≤ 5%", verdict(rate <= 5))
	processor := 100 * (figures["µs/request-ratio"] - 1)
	row("processor time a request, µs", number(figures["µs/request"]), number(figures["µs/request-without"]), fmt.Sprintf("%.1f%%", processor), "", "")
	bytes := figures["B/request"] - figures["B/request-without"]
	row("bytes allocated a request", number(figures["B/request"]), number(figures["B/request-without"]), number(bytes), "≤ 2048", verdict(bytes <= 2048))
	fmt.Println()
	return nil
}
