package tun

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// spare is by how many more goroutines may run at once while a driver is open.
// A thread that comes back from the kernel waits until Go lets it run: among as
// many goroutines as there are processors, all of them busy or preempted by
// other programs, the loop was found to wait for up to 100 ms.
const spare = 2

// linger is for how long after a packet the loop looks for the next one before
// it sleeps, where it holds none: on an idle machine it takes 40 µs to wake a
// thread on another processor, and a ping-pong without delays does it twice a
// round trip. With one processor it would only keep the next packet from coming.
var linger = func() time.Duration {
	if runtime.NumCPU() == 1 {
		return 0
	}
	return 50 * time.Microsecond
}()

func moreTurns(n int) { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n) }

// hurry makes the kernel wake this thread when it is to be woken. Both are as far
// as the system allows: the second takes CAP_SYS_NICE, which root has and the
// user in a namespace of his own has not.
func hurry() {
	// By itself it wakes a thread up to 50 µs late, to save wake-ups.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	// And it may let another program run on until the next tick, 4 ms and more.
	// What is real-time can starve others, but this loop has nothing to do
	// before those have sent something.
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK,
	}, 0)
}
