// Package netem makes a network bad by the kernel's netem.
//
// Open gives a badnet.Driver for the loopback of a network namespace that is
// ours to break; what works on a real link (Set, Reset, List, Command) is for a
// machine that is there to be broken, and shapes only what leaves the link. All
// qdiscs made here have a handle of ours, and no other is ever touched.
//
// The words mean what they mean in package badnet. Where the kernel's own would
// mean something else, netem is told something else (see params), and where it
// can't be told at all, the driver says so by an ErrCannot. What differs still:
//   - the packets that reorder lets overtake don't wait for the rate either;
//   - jitter is spent while a packet waits for the rate, not after it;
//   - limit is raised by what the delay holds in full packets, so that a queue
//     of small ones is dropped from earlier;
//   - the long tail of pareto ends at 4 deviations, which is as far as a table
//     of netem's goes. The mean and the deviation are those that were asked for;
//   - a copy counts in the Totals as a packet that was sent.
package netem
