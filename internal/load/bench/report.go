//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"gotimeout/internal/results"
)

const records = 1_000_000

// report measures how gotimeout report takes a large file.
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
	row("time", fmt.Sprintf("%.2f s", median(took)), "≤ 5 s", verdict(median(took) <= 5))
	row("memory at most", fmt.Sprintf("%.0f MiB", median(resident)), "≤ 200 MiB", verdict(median(resident) <= 200))
	return nil
}

// writeRecords writes a comparison of 20 cells, half of whose records are
// requests and half receipts.
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
			all = append(all, pair(cell, n)...)
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

// pair is a request and its receipt, with figures that differ as real ones do.
func pair(cell, n int) []any {
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
