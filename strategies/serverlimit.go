package strategies

import (
	"context"
	"time"
)

func serverLimit() Strategy {
	return Strategy{
		Name: "server-limit", Family: InBackend,
		Doc:    "Gives the server the timeout as its limit for a statement (max_execution_time, max_statement_time, statement_timeout): the work stops on time for aware and deaf ops alike, and the connection is kept.",
		Only:   []string{"db", "postgres"},
		Client: func(timeout time.Duration) ClientBounds { return ClientBounds{Server: timeout} },
		Do:     ServerLimit{}.Do,
	}
}

// ServerLimit is the strategy server-limit: Do calls ops whose server was given the
// timeout beforehand (see Strategy.Client), and makes the server's timeout error match
// ErrTimeout, as IOTimeout does with a client's. The server ends the work, so nothing
// goes on, but the answer still has to come back: Do bounds nothing by itself, and on a
// bad network, or with a server that doesn't answer, it returns late.
//
// A limit is no part of the call, but of its session: a pool whose connections have one
// gives it to every call. MySQL's max_execution_time bounds SELECT alone; MariaDB's
// max_statement_time bounds every statement, and ends a SELECT BENCHMARK without an error.
// PostgreSQL's statement_timeout bounds every statement, and may be set for one transaction.
type ServerLimit struct{}

// Do is the Do of a Strategy.
func (ServerLimit) Do(ctx context.Context, timeout time.Duration, ops ...Op) error {
	return IOTimeout{}.Do(ctx, timeout, ops...)
}
