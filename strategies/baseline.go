package strategies

import (
	"context"
	"time"
)

func baseline() Strategy {
	return Strategy{
		Name: "baseline", Family: NoFamily,
		Doc:       "No timeout: the caller waits for the op, however long it takes.",
		Unbounded: true,
		Do:        Baseline{}.Do,
	}
}

// Baseline is the strategy baseline: Do calls ops with ctx as it is and ignores
// timeout. It ends early only when ctx is done and the ops are aware.
type Baseline struct{}

// Do is the Do of a Strategy.
func (Baseline) Do(ctx context.Context, _ time.Duration, ops ...Op) error {
	return Together(ops...)(ctx)
}
