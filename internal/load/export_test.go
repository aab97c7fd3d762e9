package load

import (
	"context"
	"time"

	"gotimeout/internal/results"
	"gotimeout/internal/wire"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// SendAll sends an open-loop load to paths of the lab, one request every interval, and
// returns the outcome of each request.
func SendAll(ctx context.Context, lab *Lab, interval time.Duration, warmUp, requests int, paths ...string) (all []results.Request, err error) {
	l := &sender{
		lab: lab, paths: paths, delays: make([]float64, len(paths)), interval: interval,
		warmUp: warmUp, requests: requests, workers: 64, longest: 2 * time.Minute,
	}
	for i := range paths {
		l.delays[i] = float64(i)
	}
	err = l.run(ctx, func(time.Time) {}, func(r results.Request) error {
		if r.Phase == results.Load {
			all = append(all, r)
		}
		return nil
	})
	return all, err
}

// ReadAnswer returns the request that an answer of that status and body ends.
func ReadAnswer(code uint16, body []byte) (r results.Request) {
	read(&vegeta.Result{Code: code, Body: body}, &r)
	return r
}

// Refusal exports refusal, the error of an answer by which a lab refuses a request.
var Refusal = refusal

// Check exports check, which returns an error where a lab can't run the plan.
func (p Plan) Check(f wire.Lab) error { return p.check(f) }

// At exports at, the part of a sweep at one timeout.
func (p Plan) At(timeout float64, rec *results.Recommendation) Plan { return p.at(timeout, rec) }

// Cells exports cells, the cells of the plan.
func (p Plan) Cells() []results.Cell { return p.cells() }
