// Package failsafetimeout has the strategy failsafe-timeout, of the library failsafe-go.
package failsafetimeout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gotimeout/strategies"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/timeout"
)

// Strategy returns the strategy failsafe-timeout.
func Strategy() strategies.Strategy {
	return strategies.Strategy{
		Name: "failsafe-timeout", Family: strategies.AroundCall,
		Doc: "failsafe-go's Timeout policy: cancels the context at the timeout and waits for the op: a deaf op makes it late, and then the result is thrown away.",
		Do:  Do,
	}
}

// Do is the Do of the strategy: it runs ops under a Timeout policy, with the context of the
// execution. The policy is cooperative: it starts no goroutine, so it returns when the ops
// do, with timeout.ErrExceeded if that was late.
func Do(ctx context.Context, limit time.Duration, ops ...strategies.Op) error {
	op := strategies.Together(ops...)
	err := failsafe.With(timeout.New[any](limit)).WithContext(ctx).RunWithExecution(func(e failsafe.Execution[any]) error {
		return op(e.Context())
	})
	if errors.Is(err, timeout.ErrExceeded) {
		return fmt.Errorf("%w: %w", strategies.ErrTimeout, err)
	}
	return err
}
