// Package jobs keeps runs in a queue of NATS JetStream, and has workers make them.
//
// A job is a run as its query string. It stays in the queue until a worker has written the
// job's end, so a job whose worker or server dies is made again. A job has a state, a
// message of its own that only the holder of the last one may replace: by that a worker
// claims a job, renews its claim while it works, and writes the end. A worker that can't
// renew its claim gives the job up before anybody else may take it, so that no job is made
// twice at once. A deaf call can't be given up: only the end of its process ends it.
//
// By default the queue is a NATS server in this process, without a port, whose files are in
// a directory. Where their disk is nearly full, no job is taken. A server that could not write has failed
// for good, and so has its queue: opened again, it has all its jobs. A URL names a cluster instead, which any number of labs and workers share.
//
// The package knows nothing of HTTP, receipts or ops.
package jobs
