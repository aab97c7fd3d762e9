package replay

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

func timeAfter() Experiment {
	return Experiment{
		ID: "golang-15781", Title: "time.After in a select keeps its timer until it fires",
		Issues:   []string{"https://go.dev/issue/15781", "https://go.dev/issue/37196"},
		Reported: "A loop whose select has a case time.After(time.Hour) leaks: each timer stays until its hour is over. Since Go 1.23 a timer that nobody refers to is collected.",
		Does:     "100,000 timers of an hour are made by time.After in a select that another case wins. The heap is measured after a collection.",
		Remedy:   "time.NewTimer and Stop: not needed any more, unless GODEBUG has asynctimerchan=1.",
		run:      replayTimeAfter,
	}
}

func replayTimeAfter(_ context.Context, remedy bool) (o Outcome, err error) {
	const timers = 100_000
	ready := make(chan struct{})
	close(ready)
	before := heap()
	for range timers {
		if remedy {
			timer := time.NewTimer(time.Hour)
			select {
			case <-ready:
			case <-timer.C:
			}
			timer.Stop()
			continue
		}
		select {
		case <-ready:
		case <-time.After(time.Hour):
		}
	}
	grown := max(0, heap()-before)
	return Outcome{
		Saw:        fmt.Sprintf("%d timers left %d bytes each.", timers, grown/timers),
		Reproduced: grown/timers > 50,
	}, nil
}

// heap returns the bytes of the heap that are in use after a collection.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
