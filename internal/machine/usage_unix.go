//go:build unix

package machine

import (
	"syscall"
	"time"
)

// processorTime is what this process has used, by itself and in the kernel.
func processorTime() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
