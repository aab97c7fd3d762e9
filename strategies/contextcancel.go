package strategies

import (
	"context"
	"fmt"
	"time"
)

func contextCancel() Strategy {
	return Strategy{
		Name: "context-cancel", Family: AroundCall,
		Doc: "Cancels the op's context at the timeout and waits for the op: on time and nothing left here if the op is aware, late if it is deaf.",
		Do:  ContextCancel{}.Do,
	}
}

// ContextCancel is the strategy context-cancel: Do calls ops with a context that
// is cancelled at the timeout, and waits for them. A deaf op is waited for to
// its end, and if it then succeeds its late result is returned with no error:
// nothing was cut.
type ContextCancel struct{}

// Do is as Strategy says.
func (ContextCancel) Do(ctx context.Context, timeout time.Duration, ops ...Op) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, ErrTimeout)
	defer cancel()
	err := together(ops)(ctx)
	if at, _ := ctx.Deadline(); err != nil && !time.Now().Before(at) {
		<-ctx.Done() // net puts the deadline on its sockets, whose error may come a moment earlier
	}
	if err != nil && context.Cause(ctx) == ErrTimeout {
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return err
}
