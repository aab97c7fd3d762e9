package strategies

import (
	"context"
	"errors"
	"fmt"
	"time"
)

func ioTimeout() Strategy {
	return Strategy{
		Name: "io-timeout", Family: InsideClient,
		Doc:    "Sets the client's own timeouts (http.Client.Timeout, gomemcache's Timeout, the DSN's readTimeout): on time for aware and deaf ops alike, but only where there is I/O.",
		Client: func(timeout time.Duration) ClientBounds { return ClientBounds{IO: timeout} },
		Do:     IOTimeout{}.Do,
	}
}

// IOTimeout is the strategy io-timeout: Do calls ops whose clients were given
// the timeout beforehand (see Strategy.Client), and makes a client's timeout
// error match ErrTimeout. A timeout error has a Timeout method that returns true,
// as a net.Error has. It counts if it comes once the timeout has passed; an
// earlier error is of another timeout, such as the resolver's. It also counts,
// however early, if it has a Code method: by that an op marks the timeout of a
// phase, such as the dial, that its client was given.
//
// Do bounds nothing by itself, so an op without I/O, such as a computation, is
// never cut.
type IOTimeout struct{}

// Do is the Do of a Strategy.
func (IOTimeout) Do(ctx context.Context, timeout time.Duration, ops ...Op) error {
	start := time.Now()
	err := Together(ops...)(ctx)
	if err == nil {
		return nil
	}
	passed := time.Since(start) >= timeout
	var ofClient interface{ Timeout() bool }
	var ofPhase interface {
		Timeout() bool
		Code() string
	}
	phaseTimedOut := errors.As(err, &ofPhase) && ofPhase.Timeout()
	timedOut := phaseTimedOut || passed && errors.As(err, &ofClient) && ofClient.Timeout()
	if timedOut && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return err
}
