package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/stats"
	"gotimeout/slowops"
)

// ownCaller is an op that may have an own call.
type ownCaller interface {
	// ownName returns the name of the call without its secret parts, or "" without a call.
	ownName() string
}

// networkless is an op with a call that can't be made on a network of the lab's.
type networkless interface {
	noNetwork() error // says why, nil where there is no such call
}

// Check returns an error for settings of own calls that contradict each other, or a
// network between the lab and its backends.
func (s Settings) Check(network bool) error {
	calls := 0
	for _, op := range s.Ops {
		if own, ok := op.(ownCaller); ok && own.ownName() != "" {
			calls++
		}
		if off, ok := op.(networkless); ok && network {
			if err := off.noNetwork(); err != nil {
				return err
			}
		}
	}
	switch {
	case s.OwnName == "":
		return nil
	case calls == 0:
		return errors.New("--name (GOTIMEOUT_NAME) names an own call, and there is none: give --http-request, --db-query, --postgres-query, --redis-command, --cache-key, --grpc-method or --command")
	case calls > 1:
		return fmt.Errorf("--name (GOTIMEOUT_NAME) names one call, and there are %d: leave it out", calls)
	}
	return nil
}

// textOrFile returns the body of an own call: the content of the file after an @, or the text itself.
func textOrFile(text string) ([]byte, error) {
	if file, isFile := strings.CutPrefix(text, "@"); isFile {
		return os.ReadFile(file)
	}
	return []byte(text), nil
}

// makeOwn gives op an own call.
func (l *Lab) makeOwn(op *handlers.Op, name string) {
	op.Own = &handlers.OwnCall{Name: cmp.Or(l.settings.OwnName, name)}
	op.Doc = "Your own call: " + op.Own.Name + "."
	op.NoDelay = "the call is your own, and is as slow as it is"
	op.Works, op.Backends, op.Targets, op.Busy, op.Prepare = nil, nil, nil, nil, nil
}

// connects checks the health of the server of an own call by a dial. The call itself may be
// expensive for its server, or change something there.
func connects(network, addr string) handlers.Part {
	return func(ctx context.Context, _ slowops.Call) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			conn.Close()
		}
		return err
	}
}

// The calls that measure how long an own call takes alone.
const (
	aloneCalls = 5               // beside one before them, which opens the connection
	aloneFor   = 2 * time.Second // no call begins later; the first may take longer
	aloneAgain = 10 * time.Second
)

// measureOwn measures what each own call takes while nothing else goes on. It returns
// after the first attempts. Where one fails, others follow until ctx is done: a lab may
// be there before its backend. Wait on the group after that.
func (l *Lab) measureOwn(ctx context.Context) *sync.WaitGroup {
	var first, all sync.WaitGroup
	for _, op := range l.Ops {
		if op.Own == nil {
			continue
		}
		first.Add(1)
		all.Go(func() {
			log := l.Log.With("op", op.Name, "call", op.Own.Name)
			err := alone(ctx, op)
			if err != nil && ctx.Err() == nil {
				log.Warn("the own call fails, and how long it takes is not known until it completes", "error", err)
			}
			first.Done()
			for err != nil {
				select {
				case <-ctx.Done():
					return
				case <-time.After(aloneAgain):
				}
				err = alone(ctx, op)
			}
			log.Info("own call", "alone", *op.Own.Alone.Load())
		})
	}
	first.Wait()
	return &all
}

// alone measures an op's own call, in at most the time that a preparation may take.
func alone(ctx context.Context, op handlers.Op) error {
	ctx, cancel := context.WithTimeout(ctx, handlers.Prepare)
	defer cancel()
	var took []time.Duration
	began := time.Now()
	for n := range 1 + aloneCalls {
		start := time.Now()
		if start.Sub(began) >= aloneFor {
			break
		}
		err := op.Parts[0](ctx, slowops.Call{Run: healthRun})
		switch {
		case n == 0 && ctx.Err() == context.DeadlineExceeded:
			return fmt.Errorf("it has not completed within %s", handlers.Prepare)
		case n == 0 && err != nil:
			return err
		case err == nil:
			took = append(took, time.Since(start))
		}
	}
	if len(took) > 1 {
		took = took[1:]
	}
	median := stats.Median(took)
	op.Own.Alone.Store(&median)
	return nil
}

// warnOfStrangers logs that the visitors of a public lab may make it call the own call.
func (l *Lab) warnOfStrangers() {
	for _, op := range l.Ops {
		if l.Public && op.Own != nil {
			l.Log.Warn("this lab is public: strangers may have it make your own call", "op", op.Name, "call", op.Own.Name,
				"at_most_a_second", handlers.OwnASecond, "at_most_at_once", l.settings.MaxInFlight+l.settings.MaxAbandoned)
		}
	}
}
