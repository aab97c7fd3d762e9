package strategies

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Op is slow work. An op is aware when it returns soon after ctx is done, and
// deaf when it goes on to its own end whatever ctx says.
type Op func(ctx context.Context) error

// Family says where a strategy puts its bound. It is for readers: what a
// strategy needs, the fields of Strategy say, so no program compares families.
type Family string

// The families of timeouts. A strategy that has no bound is of NoFamily.
const (
	NoFamily       Family = "none"
	AroundCall     Family = "around the call"
	AroundHandler  Family = "around the handler"
	InsideClient   Family = "inside the client"
	InBackend      Family = "in the backend"
	OutsideProcess Family = "outside the process"
	OutOfRequest   Family = "out of the request"
)

// Families returns the families, ordered from the call outwards. NoFamily is
// not among them.
func Families() []Family {
	return []Family{AroundCall, AroundHandler, InsideClient, InBackend, OutsideProcess, OutOfRequest}
}

// Strategy is one way to bound the wait for ops.
type Strategy struct {
	Name   string // as in the URL
	Family Family
	Doc    string // one sentence for the page, the tables of the docs and the help

	// Unbounded says that Do ignores its timeout, so a run has nothing that it
	// could overshoot.
	Unbounded bool

	// Only names the ops that the strategy makes sense for; nil is every op.
	Only []string

	// Client returns the bounds that the strategy asks of the client that an op
	// uses, for a timeout of that length. It is nil where the strategy asks
	// nothing of the client.
	Client func(timeout time.Duration) ClientBounds

	// Outside says where the ops of a run are, if not in this process. The caller
	// then calls Do with ops that have the run done there.
	Outside Place

	// Do runs ops at the same time and waits for them at most timeout, as far as
	// the strategy can. It calls each op exactly once, possibly after Do itself
	// has returned.
	//
	// Do returns nil when every op has returned nil, which without ops is at
	// once. It returns an error that matches both ErrTimeout and
	// context.DeadlineExceeded when the timeout cut the wait, and also when the
	// ops returned errors after the timeout. Otherwise it returns the first error
	// of an op. A panic of an op that has a goroutine or a handler of its own comes
	// back as a *PanicError; a panic of an op on the caller's goroutine unwinds the caller.
	Do func(ctx context.Context, timeout time.Duration, ops ...Op) error
}

// Place is where the ops of a run are.
type Place string

// The places of ops.
const (
	InProcess Place = ""      // in the process of the caller
	InChild   Place = "child" // in a process of their own
	InQueue   Place = "queue" // in a queue, from which a worker takes them
)

// ClientBounds are the bounds that a strategy asks of a client.
type ClientBounds struct {
	IO     time.Duration // the client's own timeout for its I/O; 0 is none
	Server time.Duration // the limit that the client gives the server for the work, such as max_execution_time; 0 is none
	Kill   time.Duration // when the client has the server end the work, from a second connection; 0 is never
}

// Bounds returns what the strategy asks of the client.
func (s Strategy) Bounds(timeout time.Duration) (asks ClientBounds) {
	if s.Client != nil {
		asks = s.Client(timeout)
	}
	return asks
}

// Suits reports whether the strategy makes sense for the op of that name.
func (s Strategy) Suits(op string) bool { return s.Only == nil || slices.Contains(s.Only, op) }

// All returns every strategy, new, in the order of the page: the strategy
// without a bound comes first, to show how slow the op is.
func All() []Strategy {
	return []Strategy{
		baseline(),
		goroutineAbandon(),
		contextCancel(),
		timerPanic(),
		errgroupStrategy(),
		timeoutHandler(),
		writeTimeout(),
		ioTimeout(),
		killQuery(),
		serverLimit(),
		subprocessKill(),
		offload(),
	}
}

// ErrTimeout is matched by the error of every Do whose timeout cut the wait. It
// matches context.DeadlineExceeded and has the Timeout method of net.Error.
var ErrTimeout error = timeoutError{}

type timeoutError struct{}

func (timeoutError) Error() string { return "timed out" }
func (timeoutError) Timeout() bool { return true }
func (timeoutError) Unwrap() error { return context.DeadlineExceeded }

// PanicError is a panic of an op on a goroutine of its own, which would
// otherwise end the process.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("the op panicked: %v", e.Value) }

// guard calls op and turns its panic into a *PanicError.
func guard(ctx context.Context, op Op) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return op(ctx)
}

// Together makes one op of several that run at the same time. The first error
// cancels the others; the op returns when all of them have.
func Together(ops ...Op) Op {
	if len(ops) == 1 {
		return ops[0]
	}
	return func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		for _, op := range ops {
			group.Go(func() error { return guard(ctx, op) })
		}
		return group.Wait()
	}
}
