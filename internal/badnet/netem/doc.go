// Package netem makes a network bad by the kernel's netem.
//
// Open returns a badnet.Driver for the loopback of a private network namespace.
// Set, Reset and List are for the links of a machine like the lab VM, and shape
// only what leaves a link. Every qdisc made here has a handle of gotimeout's, and
// no other qdisc is changed.
//
// Profiles mean what they mean in package badnet: the parameters are translated
// where the kernel's mean something else (see params), and what netem can't do is
// an ErrCannot. These differences remain:
//   - a packet that overtakes does not wait for the rate;
//   - jitter passes while a packet waits for the rate, not afterwards;
//   - limit is raised by the full packets that the delay holds, so that a queue of
//     small packets is full earlier;
//   - the long tail of pareto ends at 4 deviations, the bound of a netem table. The
//     mean and the deviation are exact;
//   - a copy counts in the Totals as a packet that was sent.
package netem
