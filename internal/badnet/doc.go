// Package badnet makes a network as bad as asked.
//
// A Profile says how bad the network is, in text ("delay=100ms loss=1% rate=1mbit")
// or by the name of a preset ("3g"). A Shaper decides for each packet of one
// direction when the packet leaves the link, and whether it leaves twice or
// never. A Shaper depends only on the packets, their times and a seed, so that a
// run can be repeated and a test knows every release to the nanosecond. A Queue
// holds the packets until their release. A Driver moves them: package tun moves
// packets itself, package netem leaves them to the kernel, and package proxy
// moves bytes where there are no packets.
//
// The keys of a profile mean what they mean in tc-netem(8), except these three:
//   - jitter does not reorder: a packet waits for the packet before it, as in any
//     queue. Only the share of reorder overtakes;
//   - limit bounds the queue in front of the rate and does not count the packets
//     in the delay, so that a long delay alone drops nothing;
//   - jitter above the delay is refused: netem cuts the negative delays off, and
//     then the mean is no longer the delay of the profile.
//
// The package does not guess: a number without its unit, an unknown key and an
// impossible profile are errors that say what to write instead. It does not
// corrupt packets: the receiver's checksum would turn corruption into loss.
package badnet
