package lab

import (
	"context"
	"errors"
	"slices"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/backends"
	"gotimeout/internal/badnet"
	"gotimeout/internal/receipt"
	"gotimeout/slowops"
)

// lookEvery is the interval at which a server's list of queries is read, and so the resolution of
// the end of a query in a real database.
const lookEvery = 10 * time.Millisecond

// watchQueries reports the end of each query of a real server, from the server's list of queries. answered
// reports whether the error of a call is the server's answer. The queries of a child are watched by
// its parent.
func (l *Lab) watchQueries(b *backend, look backends.Look, answered func(error) bool) {
	b.answered = answered
	if l.isChild() {
		return
	}
	l.held += filesOfWatch
	q := &queries{lab: l, name: b.name, list: backends.NewProcessList(look, lookEvery), answered: answered}
	l.atClose(q.list.Close)
	b.watch = func(do handlers.Part) handlers.Part {
		return func(ctx context.Context, c slowops.Call) error { return q.call(ctx, c, do) }
	}
	b.do, b.working = b.watch(b.do), q.working
}

// direct returns the address to dial for reads of a server's list, "" for the server's own. They don't pass
// the bad network: a late read would count as waste.
func (l *Lab) direct(network, addr string) (via string, err error) {
	if l.network == nil {
		return "", nil
	}
	return l.network.Direct(network, addr)
}

// queries watches the queries of runs on a real database.
type queries struct {
	lab  *Lab
	name string // the backend's name
	list *backends.ProcessList

	answered func(error) bool // whether an error is the server's answer to the query
}

// call makes a call, and reports the end of its query: when the query has left the process
// list, or with the answer. A query that was never sent has no end to report.
func (q *queries) call(ctx context.Context, c slowops.Call, do handlers.Part) error {
	query := q.list.Query(c.Run)
	err := do(ctx, c)
	if errors.Is(err, slowops.ErrNotSent) {
		query.NotSent()
		return err
	}
	q.lab.report(c.Run, (*receipt.Receipt).BackendBegan)
	ended := func(at time.Time, known bool) {
		if known {
			q.lab.report(c.Run, func(r *receipt.Receipt) { r.BackendEndedAt(at) })
		} else {
			q.lab.report(c.Run, (*receipt.Receipt).BackendLost)
		}
	}
	if err == nil || errors.Is(err, errAnswered) || q.answered(err) {
		ended(query.Answered(), true)
	} else {
		query.Left(q.way(), ended)
	}
	return err
}

// way describes the network between the lab and the database, as measured and as asked for.
func (q *queries) way() backends.Way {
	way := backends.Way{InTransit: 300 * time.Millisecond} // TCP sends a lost packet again after 200 ms and a round trip
	if q.lab.network == nil {
		return way
	}
	path := q.lab.network.State().Of(q.name)
	ms := 0.0
	if path.RoundTrip != nil {
		ms = *path.RoundTrip
	}
	c := path.Calibration
	if c != nil && c.RoundTripP99 != nil {
		ms = max(ms, *c.RoundTripP99)
	}
	asked, err := badnet.Parse(path.Profile)
	way.Lossy = err != nil || asked.Up.Arrives()*asked.Down.Arrives() < 1 || c != nil && (c.Lost > 0 || c.RoundTripP50 == nil)
	way.InTransit += time.Duration(2 * ms * float64(time.Millisecond))
	return way
}

// working returns the queries that have not ended, as far as the process list shows.
func (q *queries) working() []handlers.Job {
	runs := q.list.Runs()
	slices.Sort(runs)
	all := []handlers.Job{}
	for _, run := range slices.Compact(runs) {
		if run != healthRun {
			all = append(all, handlers.Job{Receipt: run})
		}
	}
	return all
}
