package strategies

import (
	"context"
	"fmt"
	"time"
)

func contextCancel() Strategy {
	return Strategy{
		Name: "context-cancel", Family: AroundCall,
		Doc: "Cancels the op's context at the timeout and waits for the op: on time with nothing left behind if the op is aware, late if it is deaf.",
		Do:  ContextCancel{}.Do,
	}
}

// ContextCancel is the strategy context-cancel: Do calls ops with a context that
// is cancelled at the timeout, and waits for them. Under a deaf op it returns when
// the op ends, with no error if the op succeeded: the op was late, but not cut.
type ContextCancel struct{}

// Do is the Do of a Strategy.
func (ContextCancel) Do(ctx context.Context, timeout time.Duration, ops ...Op) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, ErrTimeout)
	defer cancel()
	err := Together(ops...)(ctx)
	if err == nil {
		return nil
	}
	if at, _ := ctx.Deadline(); !time.Now().Before(at) {
		<-ctx.Done() // package net gives its sockets the deadline, and their error may come before the context's
	}
	if context.Cause(ctx) == ErrTimeout {
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return err
}
