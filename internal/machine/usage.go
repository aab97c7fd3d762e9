package machine

import (
	"runtime"
	"runtime/metrics"
	"time"
)

// Usage is what this process has used since it began, and what it holds.
type Usage struct {
	Goroutines    int
	ProcessorTime time.Duration
	Allocated     uint64 // bytes on the heap, freed or not
}

// Used returns what this process has used so far. It doesn't stop the world.
func Used() Usage {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return Usage{runtime.NumGoroutine(), processorTime(), sample[0].Value.Uint64()}
}
