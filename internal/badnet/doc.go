// Package badnet makes a network as bad as asked.
//
// A Profile says how bad, in text ("delay=100ms loss=1% rate=1mbit") or by the
// name of a preset ("3g"). A Shaper decides for each packet of one direction
// when it comes out of the link, twice or never; it is a pure function of the
// packets, their times and a seed, so that a run can be repeated and a test can
// know every release to the nanosecond. A Queue holds the packets until then, and a Driver
// moves them: package tun does, netem lets the kernel do it all, and proxy moves
// bytes where there are no packets to be had.
//
// The words mean what they mean in tc-netem(8), but for three:
//   - jitter alone doesn't reorder: packets wait for the one before them, as in
//     any queue. Only the share that reorder asks for overtakes;
//   - limit bounds the queue in front of the rate, and not the packets that are
//     under way as well, so that a long delay alone drops nothing;
//   - jitter above the delay is refused: netem cuts the negative half off, and
//     the mean is no longer the delay that was asked for.
//
// The package refuses to guess: a number without its unit, a key it doesn't
// know and a profile that can't be are errors that say what to write instead.
// It does not corrupt packets: a checksum would only turn that into loss.
package badnet
