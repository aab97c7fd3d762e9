package handlers

import (
	"context"
	"net/http"
	"time"

	"gotimeout/internal/receipt"
	"gotimeout/slowops"
	"gotimeout/strategies"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

var (
	MySQLPurposes = mysqlPurposes
	DocsOf        = docsOf
)

// WithoutReceipts returns the endpoints of the strategies as Routes does, without
// receipts. The difference to Routes is the cost of a receipt.
func (l *Lab) WithoutReceipts() http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.GetHead, plainHeaders)
	for _, s := range l.Strategies {
		r.Get("/"+s.Name, l.runWithoutReceipt(s))
	}
	return r
}

// runWithoutReceipt is run and execute without a ledger. No observer gets the call's
// connections and phases.
func (l *Lab) runWithoutReceipt(s strategies.Strategy) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := l.parse(s, r.URL.RawQuery)
		if err != nil {
			badParameter(w, r, err)
			return
		}
		call := slowops.Call{
			Delay: p.delay, Deaf: p.ctx == "deaf",
			DeafBackend: p.backend == "deaf", Work: p.work,
			Target: p.target, Limit: l.Bounds().Call,
		}
		p.bound(&call, s)
		ctx, cancel := l.bounded(r.Context(), s)
		defer cancel()
		ops := make([]strategies.Op, len(p.op.Parts))
		for i, part := range p.op.Parts {
			ops[i] = func(ctx context.Context) error { return part(ctx, call) }
		}
		start := time.Now()
		status, failure := outcome(ctx, s, p.timeout, l.doRecovered(ctx, s, p, ops))
		writeAnswer(w, r, receipt.Answer{
			Run: &receipt.Run{Name: s.Name, Family: string(s.Family), Slow: p.op.Name, Ctx: p.ctx, Network: l.networkOf(p), Timeout: p.timeout},
			ID:  "none", Status: status, Error: failure, Answered: time.Since(start),
		})
	}
}
