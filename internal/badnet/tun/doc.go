// Package tun is the driver that needs nothing of the kernel but a TUN device:
// every packet of the loopback goes through this process, which hands it back
// when the plan's shaper says so, or not at all.
//
// It makes 127.0.0.0/8 itself bad: by policy routing, what is sent to it leaves
// by the TUN, and what comes in by the TUN is local. Programs and addresses stay
// as they are, at both ends is the kernel's own TCP, and so a handshake is
// delayed, and what is lost is sent again.
//
// It wants a network namespace to itself with its loopback up, and changes the
// routing of it for good: Close brings none of that back, since such a network
// ends with its process. One goroutine reads, holds and writes the packets; it
// waits in the kernel, since the runtime's timers are up to a millisecond late
// (https://go.dev/issue/53824).
package tun
