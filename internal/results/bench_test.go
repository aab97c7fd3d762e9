package results_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gotimeout/internal/results"
)

// readEnv names a file for a child to read, whose memory is of reading alone.
const readEnv = "GOTIMEOUT_TEST_READ"

func TestMain(m *testing.M) {
	if path := os.Getenv(readEnv); path != "" {
		readAlone(path)
		return
	}
	os.Exit(m.Run())
}

// readAlone prints what the kernel says of this process, after reading.
func readAlone(path string) {
	f, err := os.Open(path)
	if err == nil {
		_, err = results.Read(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status, _ := os.ReadFile("/proc/self/status") // where there is one
	_, _ = os.Stdout.Write(status)
}

// BenchmarkRead reads a million records: no more than 5 s and 200 MiB at the peak.
func BenchmarkRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "results.jsonl")
	writeMillion(b, path)
	b.ResetTimer()
	var peak float64
	for b.Loop() {
		child := exec.CommandContext(b.Context(), os.Args[0])
		child.Env = append(os.Environ(), readEnv+"="+path)
		status, err := child.Output()
		if err != nil {
			b.Fatal(err)
		}
		if _, after, ok := strings.Cut(string(status), "VmHWM:"); ok {
			var kib float64
			if _, err := fmt.Sscan(after, &kib); err != nil {
				b.Fatal(err)
			}
			peak = max(peak, kib/1024)
		}
	}
	b.ReportMetric(peak, "peak-MiB")
}

// writeMillion writes 500,000 requests and as many receipts.
func writeMillion(b *testing.B, path string) {
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := results.NewWriter(f)
	add := func(record any) {
		if err := w.Add(record); err != nil {
			b.Fatal(err)
		}
	}
	add(aRun())
	add(aCell(1))
	for i := range 500_000 {
		v := float64(i%1000) + 0.123
		id := fmt.Sprintf("abcdef-%d", i)
		request, receipt := aRequest(10, "timed_out", v, 0.1), aReceipt("timed_out", v)
		request.At, request.Code, request.Receipt = v, "timed_out", id
		receipt.ID, receipt.Answered, receipt.Overshoot = id, v, &v
		receipt.Ended, receipt.Straggle, receipt.BackendEnded, receipt.Waste = &v, &v, &v, &v
		add(request)
		add(receipt)
	}
	add(anEnd())
	add(&results.Done{Type: results.TypeDone})
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}
