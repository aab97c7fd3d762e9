package results

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

func file(n int) []byte {
	var b bytes.Buffer
	w := NewWriter(&b)
	_ = w.Add(&Run{Type: TypeRun, Format: 1})
	_ = w.Add(&Cell{Type: TypeCell, Cell: 1, Strategy: "context-cancel", Delays: []float64{10}, Timeout: 250})
	for i := range n / 2 {
		v := float64(i%1000) + 0.123
		_ = w.Add(&Request{Type: TypeRequest, Cell: 1, Phase: Load, At: v, Late: 0.1, Answered: v, Delay: 10, Status: "timed_out", Code: "timed_out", Receipt: fmt.Sprint("abcdef-", i)})
		_ = w.Add(&Receipt{Type: TypeReceipt, Cell: 1, Phase: Load, ID: fmt.Sprint("abcdef-", i), Complete: true, Status: "timed_out", Delay: 10, Started: v, Answered: v, Overshoot: &v, Ended: &v, Straggle: &v, BackendEnded: &v, Waste: &v})
	}
	_ = w.Add(&End{Type: TypeEnd, Cell: 1})
	_ = w.Add(&Done{Type: TypeDone})
	_ = w.Flush()
	return b.Bytes()
}

func BenchmarkRead(b *testing.B) {
	data := file(1_000_000)
	for b.Loop() {
		if _, err := Read(io.Reader(bytes.NewReader(data))); err != nil {
			b.Fatal(err)
		}
	}
}
