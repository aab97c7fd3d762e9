// Package proxy is the driver for where there are no namespaces: a TCP proxy in
// front of each backend, with the latency toxic of
// https://github.com/Shopify/toxiproxy and a rate that all connections to the
// backend share. It needs no privilege and runs anywhere.
//
// A proxy has bytes and no packets, so it does less than the other drivers, and
// refuses the rest (see Check):
//   - A dial is not delayed, since the kernel here answers it
//     (https://github.com/Shopify/toxiproxy/issues/123), and it succeeds even
//     where the backend refuses: then the connection is reset.
//   - A chunk of up to 32 KiB takes the place of a packet. Jitter is drawn once
//     for each, in whole milliseconds, and its mean is half of one below the
//     delay; a change of the network lets the chunk that is waiting out at once.
//   - In front of a rate waits more than in a router: up to 1024 chunks.
//
// A close, a half close and a reset pass on to the other side, behind the data
// and after the delay, as on a network. toxiproxy's own proxy doesn't do that.
// Measured with 200 ms each way, v2.12.0 passed on a close of an idle connection
// in 0 ms, cut the answer to a client that had half closed, made each reset a
// close, which looks like the regular end of a body, and left three goroutines
// for ever when a client went away in the middle of an answer. It also writes
// to a toxic that is in use when it is changed. So the connections are ours, and
// of toxiproxy there are the links between them and the toxics.
package proxy
