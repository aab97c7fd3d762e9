// Package tun is the driver that needs only a TUN device of the kernel: every
// packet of the loopback goes through this process, which hands it back when the
// plan's Shaper says so, or drops it.
//
// It makes loopback itself bad, 127.0.0.0/8 and ::1. By policy routing, packets to
// 127.0.0.0/8 leave through the TUN, and packets from the TUN are local. No route can do that
// for ::1: a filter redirects what leaves by lo to the TUN, and what comes out is written back
// to lo. Where the kernel has no clsact, classic BPF filters or mirred for that, there is no
// ::1. Programs and addresses stay the same. Both ends are the kernel's own TCP, so that
// handshakes are delayed and lost packets are sent again. A packet has at most 1,500 bytes, as
// on a link; only where nothing is decided for each packet the kernel hands over many segments
// at once.
//
// It needs a network namespace of its own with the loopback up, and changes the
// routing there for good: Close does not restore it, since such a network ends with its
// process. One goroutine reads, holds and writes the packets; it waits in the kernel, since the
// runtime's timers are up to a millisecond late (https://go.dev/issue/53824).
package tun
