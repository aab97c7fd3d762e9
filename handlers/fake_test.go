package handlers_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/receipt"
	"gotimeout/slowops"
)

const cacheNoDelay = "a real memcached has no slow command; make the network to it slow instead"

var errOp = errors.New("the backend said no")

// fakeOps are ops that take time and nothing else, and report to the ledger as
// backends do.
func fakeOps(l *receipt.Ledger) []handlers.Op {
	slow := func(ctx context.Context, c slowops.Call) error { return slowOp(ctx, l, c) }
	computes := func(c slowops.Call) bool { return c.Work == "cpu" && c.Delay > 0 }
	fails := func(context.Context, slowops.Call) error {
		return errOp
	}
	panics := func(context.Context, slowops.Call) error {
		panic("boom")
	}
	return []handlers.Op{
		{Name: "http", Doc: "Waits.", Noun: "the HTTP server", Dials: true, Backends: []string{"aware", "deaf"}, Reports: 1, Seen: true, Parts: parts(slow)},
		{Name: "cache", Doc: "Is never slow.", Dials: true, NoDelay: cacheNoDelay, Parts: parts(slow)},
		{Name: "db", Doc: "Waits, or computes.", Noun: "the database", First: true, Verbs: map[string]string{"cpu": "computed"}, Dials: true, Works: []string{"sleep", "cpu"}, Reports: 1, Seen: true, Busy: computes, Parts: parts(slow)},
		{Name: "all", Doc: "Three <at> once.", Dials: true, Works: []string{"sleep", "cpu"}, Backends: []string{"aware", "deaf"},
			Reports: 3, Seen: true, Parts: parts(slow, slow, slow)},
		{Name: "fails", Doc: "Fails.", Parts: parts(fails)},
		{Name: "panics", Doc: "Panics.", Parts: parts(panics)},
	}
}

func parts(parts ...handlers.Part) []handlers.Part { return parts }

// slowOp is a call of a client that has a timeout of its own, on a backend that
// stops when the client leaves, unless it is deaf.
func slowOp(ctx context.Context, l *receipt.Ledger, c slowops.Call) error {
	c.Dialed()
	defer c.Closed("fin_by_us", netip.AddrPort{}, netip.AddrPort{})
	rc := l.Get(c.Run)
	rc.BackendBegan()
	if c.DeafBackend {
		time.AfterFunc(c.Delay, rc.BackendEnded)
	} else {
		defer rc.BackendEnded()
	}
	if c.Deaf {
		ctx = context.Background()
	}
	d := c.Delay
	if c.IOTimeout > 0 {
		d = min(d, c.IOTimeout)
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return ctx.Err()
	}
	if d < c.Delay {
		return fmt.Errorf("read: %w", os.ErrDeadlineExceeded)
	}
	return nil
}
