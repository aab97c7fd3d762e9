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
//     for each chunk, in whole milliseconds, and the mean delay is half a
//     millisecond short; a change of the network releases a waiting chunk at once.
//   - The queue in front of the rate is longer than a router's: up to 1024 chunks.
//
// A close, a half close and a reset reach the other side behind the data and after
// the delay, as on a network. toxiproxy's own proxy differs: measured with 200 ms
// each way, v2.12.0 passed on a close of an idle connection in 0 ms, cut the
// answer to a client that had half closed, turned each reset into a close, which
// looks like the regular end of a body, and leaked three goroutines when a client
// went away in the middle of an answer. It also has a data race when it changes a
// toxic that is in use. So the connections here are our own, and only the links
// between them and the latency are toxiproxy's.
package proxy
