package strategies

import (
	"context"
	"sync"
)

// Value carries a result out of an op to the caller of a strategy. The zero
// Value is ready for use. It must not be copied, and it serves one call of Do.
//
// A plain variable that an op writes and its caller reads is a data race under
// a strategy that returns while the op still runs. A Value is none, and its
// first Get closes it: an op that returns later changes nothing that the caller
// has read.
type Value[T any] struct {
	mu     sync.Mutex
	result T
	set    bool // an op has returned result
	closed bool // by Get
}

// Op returns an op that calls f once and keeps its result, if f returns no
// error, the Value is not closed, and no other op of the Value was first. The
// op's own error is f's. After f has returned it must not change what its
// result points to.
func (v *Value[T]) Op(f func(ctx context.Context) (T, error)) Op {
	return func(ctx context.Context) error {
		result, err := f(ctx)
		if err != nil {
			return err
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		if !v.set && !v.closed {
			v.result, v.set = result, true
		}
		return nil
	}
}

// Get closes the Value and returns the result that it kept. ok is false, and
// result the zero T, where there is none; every later Get returns the same.
//
// Where Do returned nil, ok is true. Where Do returned an error, ok may be true
// as well: the op ended too late for the strategy, but before Get.
func (v *Value[T]) Get() (result T, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	return v.result, v.set
}
