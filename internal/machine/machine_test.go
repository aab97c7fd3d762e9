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

// What is used is counted.
func TestUsed(t *testing.T) {
	before := machine.Used()
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
		sink = make([]byte, 64<<10)
	}
	after := machine.Used()
	if spent := after.ProcessorTime - before.ProcessorTime; spent < time.Millisecond {
		t.Errorf("%v of processor time in a loop of 50 ms", spent)
	}
	if grown := after.Allocated - before.Allocated; grown < 1<<20 {
		t.Errorf("%d bytes were allocated", grown)
	}
	if after.Goroutines < 1 {
		t.Errorf("%d goroutines", after.Goroutines)
	}
}
