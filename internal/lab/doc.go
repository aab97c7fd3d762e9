// Package lab joins the ops, their backends, the network, the receipts and the
// telemetry into one lab. gotimeout serve opens one, and so do the tests.
//
// [Ops] is the list of the ops. Each op has a file here that describes all of
// it: its flags and environment variables, the client that it calls, the backend
// behind the client, and what pages and help say about it. To add an op, write a
// client in slowops, a stand-in in internal/backends/NAME, a file here, and an
// entry in Ops; nothing else knows an op by its name.
//
// The package reads no flags and no environment, and it doesn't decide where the
// lab listens or whether its network is a private one.
package lab
