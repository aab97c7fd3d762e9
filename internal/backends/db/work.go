package dbbackend

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"gotimeout/internal/backends"
)

// selectSleep sleeps and answers 0, as MySQL's SLEEP does: it looks at fixed intervals whether its client is still there and
// stops when it is not, which is why SLEEP is the wrong probe for what a timeout leaves behind.
//
// A limit on the execution time cuts a SLEEP that is all of its query short, and it answers 1 without an error: so MySQL's
// manual says. There a KILL QUERY does the same; here it is error 1317, as on MariaDB and as in any other query.
func (s *session) selectSleep(ctx context.Context, args []string) (*mysql.Result, error) {
	seconds, err := strconv.ParseFloat(args[0], 64)
	if err != nil {
		return nil, mysql.NewDefaultError(mysql.ER_WRONG_ARGUMENTS, "sleep")
	}
	if seconds > s.db.longest.Seconds() {
		return nil, mysql.NewDefaultError(mysql.ER_WRONG_ARGUMENTS,
			fmt.Sprintf("sleep: %ss is over this database's cap of %s", args[0], s.db.longest))
	}
	s.setState("User sleep")

	column := "SLEEP(" + args[0] + ")"
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	for left := time.Until(end); left > 0; left = time.Until(end) {
		err := backends.Pause(ctx, min(left, s.db.poll))
		switch {
		case errors.Is(err, errQueryTimeout):
			return row(column, 1)
		case err != nil:
			return nil, interruption(ctx)
		case left > s.db.poll && s.clientGone(ctx):
			return nil, errInterrupted
		}
	}
	return row(column, 0)
}

// clientGone takes a millisecond to look: a deadline that has passed would not even read.
func (s *session) clientGone(ctx context.Context) bool {
	return errors.Is(s.client.Stay(ctx, time.Now().Add(time.Millisecond)), backends.ErrClientGone)
}

// busiest is how many times MaxDelay a BENCHMARK may take that was meant for less, on processors that others use as well.
const busiest = 4

// selectBenchmark computes and answers 0. The expression is ignored: a round is an MD5 of the one before, so that
// the time it takes is a processor's and nothing can be left out. It never looks whether its client is still there.
func (s *session) selectBenchmark(ctx context.Context, args []string) (*mysql.Result, error) {
	rounds, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return nil, mysql.NewDefaultError(mysql.ER_WRONG_ARGUMENTS, "benchmark")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, busiest*s.db.longest, errQueryTimeout)
	defer cancel()

	const between = 1024 // rounds without a look at ctx: a tenth of a millisecond
	var sum [md5.Size]byte
	for done := uint64(0); done < rounds; done++ {
		if done%between == 0 {
			if ctx.Err() != nil {
				return nil, interruption(ctx)
			}
			runtime.Gosched() // a real server would not take the lab's processors for a whole time slice
		}
		sum = md5.Sum(sum[:])
	}
	return row("BENCHMARK()", 0)
}

func (s *session) setState(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
}
