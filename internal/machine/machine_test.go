package machine_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gotimeout/internal/machine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestThis(t *testing.T) {
	m := machine.This()
	if m.Go != runtime.Version() || m.Processors != runtime.NumCPU() || !strings.HasPrefix(m.OS, runtime.GOOS) {
		t.Errorf("%+v", m)
	}
	if runtime.GOOS == "linux" && m.Kernel == "" {
		t.Error("no kernel")
	}
	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" && m.CPU == "" {
		t.Error("no model of the processor")
	}
	if m.Version == "" {
		t.Error("no version")
	}
}

var sink []byte

// Used counts allocated memory and processor time. The test loops until a busy machine has given it processor time.
func TestUsed(t *testing.T) {
	const blocks, size = 64, 64 << 10
	before := machine.Used()
	for range blocks {
		sink = make([]byte, size)
	}
	if grown := machine.Used().Allocated - before.Allocated; grown < blocks*size {
		t.Errorf("%d of %d bytes were counted", grown, blocks*size)
	}
	spent := time.Duration(0)
	for end := time.Now().Add(30 * time.Second); spent < time.Millisecond && time.Now().Before(end); {
		spent = machine.Used().ProcessorTime - before.ProcessorTime
	}
	if spent < time.Millisecond {
		t.Errorf("%v of processor time for a loop of 30 s", spent)
	}
	if n := machine.Used().Goroutines; n < 1 {
		t.Errorf("%d goroutines", n)
	}
}
