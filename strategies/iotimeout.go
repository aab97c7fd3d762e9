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
		Doc:    "The client's own timeouts (http.Client.Timeout, gomemcache's Timeout, the DSN's readTimeout): on time for aware and deaf alike, but only where there is I/O.",
		Client: func(timeout time.Duration) ClientBounds { return ClientBounds{IO: timeout} },
		Do:     IOTimeout{}.Do,
	}
}

// IOTimeout is the strategy io-timeout: Do calls ops that carry timeout in the
// clients that they use, and names the clients' errors: one that says Timeout,
// as net.Error does, and comes when timeout has passed, matches ErrTimeout: an
// earlier one is somebody else's, such as the resolver's, unless it has a Code
// as well, by which an op says that it is of a timeout that it was given for a
// phase. It bounds nothing by itself, so an op without I/O, such as a
// computation, is never cut.
type IOTimeout struct{}

// Do is as Strategy says.
func (IOTimeout) Do(ctx context.Context, timeout time.Duration, ops ...Op) error {
	start := time.Now()
	err := together(ops)(ctx)
	passed := time.Since(start) >= timeout
	var says interface{ Timeout() bool }
	var phase interface {
		Timeout() bool
		Code() string
	}
	ofPhase := errors.As(err, &phase) && phase.Timeout()
	if ctx.Err() == nil && (ofPhase || passed && errors.As(err, &says) && says.Timeout()) {
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return err
}
