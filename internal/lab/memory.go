package lab

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// memoryEvery is how often the lab looks whether a load has ended.
const memoryEvery = 2 * time.Second

// giveMemoryBack returns memory to the system after each load, until ctx is done. The runtime's scavenger keeps as much as
// the next collection will need, and without a load that collection may be two minutes away.
func giveMemoryBack(ctx context.Context) {
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	last := memoryUsed()
	var left memory // after memory was last given back
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := memoryUsed()
		quiet := now.allocated-last.allocated < 4<<20
		if last = now; quiet && now.mayGiveBack(left) {
			debug.FreeOSMemory()
			left = memoryUsed()
		}
	}
}

type memory struct {
	allocated  uint64 // bytes, since the start of the process
	held       uint64 // bytes that are not the system's
	goroutines uint64
}

// mayGiveBack reports whether a process has more memory than when it last gave some back, or fewer goroutines, whose memory
// is garbage.
func (m memory) mayGiveBack(left memory) bool {
	return m.held > left.held+left.held/10 || m.goroutines < left.goroutines-left.goroutines/10
}

func memoryUsed() memory {
	of := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/sched/goroutines:goroutines"},
	}
	metrics.Read(of)
	return memory{of[0].Value.Uint64(), of[1].Value.Uint64() - of[2].Value.Uint64(), of[3].Value.Uint64()}
}
