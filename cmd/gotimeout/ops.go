package main

import (
	"context"
	"fmt"
	"time"

	"gotimeout/handlers"
	"gotimeout/slowops"
)

// ops are the ops that can be asked for, the default first.
func (b *bench) ops() []handlers.Op {
	http, cache, db := b.parts[0], b.parts[1], b.parts[2]
	dbReports := db.server != nil || b.list != nil
	dbBusy := func(c slowops.Call) bool { return db.server != nil && c.Work == slowops.WorkCPU && c.Delay > 0 }
	ops := []handlers.Op{
		{
			Name: "http", Doc: "GET /delay/{seconds} of an httpbin.",
			Noun: "the HTTP server", Settle: httpSettle,
			Dials: true, Backends: deafOnlyEmbedded(http),
			Targets: b.httpTargets(), TLS: http.tls,
			Reports: one(http.server != nil), Seen: http.server != nil,
			Parts: []handlers.Part{http.do},
		},
		{
			Name: "cache", Doc: "A gomemcache get, deaf by nature: aware, its connection is cut.",
			Noun: "memcached", Settle: cacheSettle,
			Dials: true, NoDelay: noDelay(cache), Lacks: cacheLacks,
			Reports: one(cache.server != nil), Seen: cache.server != nil,
			Parts: []handlers.Part{cache.do},
		},
		{
			Name: "db", Doc: "A MySQL query: SELECT SLEEP, or with work=cpu SELECT BENCHMARK.",
			Noun: "the database", Settle: dbSettle,
			Dials: true, Works: []string{slowops.WorkSleep, slowops.WorkCPU},
			Lacks:   dbLacks,
			Reports: one(dbReports), Seen: dbReports, Busy: dbBusy, Prepare: b.prepare,
			Parts: []handlers.Part{db.do},
		},
		{
			Name: "cpu", Doc: "A computation in this process, which never yields.",
			Lacks: lacksAll("a computation has no I/O that a client could bound"),
			Busy:  func(c slowops.Call) bool { return c.Delay > 0 },
			Parts: []handlers.Part{slowops.CPU{}.Do},
		},
	}
	return append(ops, all(ops[:3], cache))
}

// How long a client may keep an idle connection: the second that slowops gives
// it, and the time until the client looks. database/sql looks once a second.
const (
	httpSettle  = 1300 * time.Millisecond
	cacheSettle = 1300 * time.Millisecond
	dbSettle    = 2500 * time.Millisecond
)

// all is three ops at once. A cache that can't be slow is fast in it.
func all(three []handlers.Op, cache *part) handlers.Op {
	op := handlers.Op{Name: "all", Doc: "http, cache and db at once.", Dials: true, Seen: true,
		Lacks: lacksAll("its clients don't have the same ones: ask for op=http, cache or db")}
	for _, of := range three {
		parts := of.Parts
		if of.NoDelay != "" {
			parts = []handlers.Part{func(ctx context.Context, c slowops.Call) error {
				c.Delay = 0
				return of.Parts[0](ctx, c)
			}}
		}
		op.Parts = append(op.Parts, parts...)
		op.Settle = max(op.Settle, of.Settle)
		op.Reports += of.Reports
		op.Seen = op.Seen && of.Seen
		op.Works = append(op.Works, of.Works...)
		op.Backends = append(op.Backends, of.Backends...)
		if of.Busy != nil {
			op.Busy, op.Prepare = of.Busy, of.Prepare
		}
	}
	return op
}

// prepare measures the speed of BENCHMARK before the first run that needs it.
func (b *bench) prepare(ctx context.Context, c slowops.Call) error {
	if c.Work != slowops.WorkCPU || c.Delay == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	if err := b.db.Calibrate(ctx); err != nil {
		// Not wrapped: a timeout of this is none of the run's.
		return fmt.Errorf("the speed of the database could not be measured, which work=cpu needs (%v): is it up, see /readyz", err)
	}
	return nil
}

// prepareTimeout is room for ten round trips to a database far away.
const prepareTimeout = 10 * time.Second

func deafOnlyEmbedded(http *part) []string {
	if http.server == nil {
		return []string{"aware"}
	}
	return []string{"aware", "deaf"}
}

func noDelay(cache *part) string {
	if cache.server != nil {
		return ""
	}
	return "a real memcached has no slow command; make the network to it slow instead"
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
