// Package tun is the driver that needs only a TUN device of the kernel: every
// packet of the loopback goes through this process, which hands it back when the
// plan's Shaper says so, or drops it.
//
// It makes 127.0.0.0/8 itself bad: by policy routing, packets to it leave through
// the TUN, and packets from the TUN are local. Programs and addresses stay the
// same. Both ends are the kernel's own TCP, so that handshakes are delayed and
// lost packets are sent again.
//
// It needs a network namespace of its own with the loopback up, and changes the
// routing there for good: Close does not restore it, since such a network ends
// with its process. One goroutine reads, holds and writes the packets; it waits in
// the kernel, since the runtime's timers are up to a millisecond late
// (https://go.dev/issue/53824).
package tun
