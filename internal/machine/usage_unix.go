//go:build unix

package machine

import (
	"syscall"
	"time"
)

// processorTime is the processor time of this process, in user mode and in the kernel.
func processorTime() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
