package load

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gotimeout/internal/results"
)

// aloneCalls are made one after another, after a first that opens a connection.
const aloneCalls = 5

// alone returns what a call of each delay takes while nothing else goes on: the
// median of some, in milliseconds. One whose delay is no less than the timeout is
// not made: the delay stands for it.
func (r *runner) alone(ctx context.Context, c results.Cell) ([]float64, error) {
	if c.Floor {
		return nil, nil
	}
	r.show(c, "alone")
	nominal := make([]float64, len(c.Delays))
	for i, delay := range c.Delays {
		key := fmt.Sprint(c.Op, " ", c.Ctx, " ", c.Network, " ", delay)
		if _, known := r.nominal[key]; !known {
			took, err := r.calls(ctx, c, delay)
			if err != nil {
				return nil, err
			}
			r.nominal[key] = took
			if err := r.settle(ctx, c.Op); err != nil {
				return nil, err
			}
		}
		nominal[i] = r.nominal[key]
	}
	return nominal, nil
}

// calls makes them. Where one doesn't complete, alone as it is, what was waited
// for it stands for them.
func (r *runner) calls(ctx context.Context, c results.Cell, delay float64) (float64, error) {
	if delay >= c.Timeout {
		return delay, nil
	}
	patience := span(2*c.Timeout) + time.Second
	var took []float64
	for range aloneCalls + 1 {
		within, cancel := context.WithTimeout(ctx, patience)
		start := time.Now()
		err := r.Lab.run(within, pathOf("baseline", c, delay))
		cancel()
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case err != nil:
			return ms(patience), nil
		}
		took = append(took, ms(time.Since(start)))
	}
	took = took[1:]
	slices.Sort(took)
	return took[len(took)/2], nil
}
