package strategies

import (
	"context"
	"time"
)

func offload() Strategy {
	return Strategy{
		Name: "offload", Family: OutOfRequest,
		Doc:     "Puts the run into a queue and answers 202 at once with the address of the job; a worker makes the run without a bound, and again if the worker dies.",
		Outside: InQueue,
		Do:      Offload{}.Do,
	}
}

// Offload is the strategy offload: Do calls ops that each put work into a queue,
// with a context that is cancelled at the timeout, and returns when the queue has
// stored the work. The timeout bounds the wait for the queue and not the work.
//
// The caller learns only that the work will be done. It needs an address to ask
// for the result, and the work must bear to be done twice: a worker may die after
// the work and before it could say so. An op in this process is treated as under
// ContextCancel.
type Offload struct{}

// Do is the Do of a Strategy.
func (Offload) Do(ctx context.Context, timeout time.Duration, ops ...Op) error {
	return ContextCancel{}.Do(ctx, timeout, ops...)
}
