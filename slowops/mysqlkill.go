package slowops

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"
)

// The bounds of kills. A server that answers nobody must not hold up the caller, and a burst
// of timeouts must not open as many connections again.
const (
	killWithin = time.Second // a kill, from the first dial until the killed query has its answer
	killEvery  = 5 * time.Millisecond
	maxKillers = 4 // connections
)

// queryInterrupted is ER_QUERY_INTERRUPTED, the error of a query that KILL QUERY has ended.
const queryInterrupted = 1317

// askOrKill calls ask, and has the server kill the query of ask when ctx ends or c.KillAfter
// has passed. go-sql-driver does not do so itself, because a KILL that comes late would end
// the query of whoever has the connection by then, and one that is sent through a load
// balancer the query of a stranger (https://github.com/go-sql-driver/mysql/pull/791,
// https://github.com/go-sql-driver/mysql/pull/1384). So here
//
//   - the connection stays with the call until the KILL has its answer, and goes back to the
//     pool only if it has one;
//   - the KILL is sent only if the server that gets it shows the query of this run under the
//     connection's id;
//   - where that fails, or takes longer than killWithin, the connection is closed and the query
//     runs on, as under a context.
//
// A result that comes after the KILL is thrown away, because a server may answer a query that
// it has ended as if the query had run to its end.
func (m *MySQL) askOrKill(ctx context.Context, c *Call, db *sql.Conn, in *mysqlConn, ask func(context.Context) error) (killed bool, err error) {
	due, cancel := context.WithTimeout(ctx, c.KillAfter)
	defer cancel()
	k := kill{answered: make(chan struct{}), over: make(chan struct{})}
	going := context.AfterFunc(due, func() {
		defer close(k.over)
		k.run(m, c, in)
	})
	err = ask(context.WithoutCancel(ctx)) // the driver would close the connection
	close(k.answered)
	if going() {
		return false, err
	}
	<-k.over
	switch {
	case k.err != nil:
		_ = db.Raw(func(any) error { return driver.ErrBadConn })
		if err != nil {
			err = fmt.Errorf("%w; KILL QUERY failed: %w", err, k.err)
		}
		return false, err
	case !k.sent:
		return false, err
	}
	absorb(db, err)
	if err == nil {
		err = ErrCutShort
	}
	return true, err
}

// absorb makes a connection ready for its next query. A KILL that came after the answer of its
// query may end the next one.
func absorb(db *sql.Conn, err error) {
	var answer *mysql.MySQLError
	if errors.As(err, &answer) && answer.Number == queryInterrupted { // the KILL has ended the query
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), killWithin)
	defer cancel()
	if _, err = db.ExecContext(ctx, "DO 0"); err != nil && !errors.As(err, &answer) {
		_ = db.Raw(func(any) error { return driver.ErrBadConn })
	}
}

// kill is the kill of one query.
type kill struct {
	answered chan struct{} // closed when the query has its answer
	over     chan struct{} // closed when run has returned
	sent     bool
	err      error // the connection of the query must be closed
}

// run kills the query and waits for its answer.
func (k *kill) run(m *MySQL, c *Call, victim *mysqlConn) {
	ctx, cancel := context.WithTimeout(context.Background(), killWithin)
	defer cancel()
	if k.err = k.send(ctx, m, c, victim.id); k.err == nil {
		select {
		case <-k.answered:
			return
		case <-ctx.Done():
			k.err = fmt.Errorf("no answer of the killed query within %s", killWithin)
		}
	}
	_ = victim.held.SetDeadline(past)
}

// send sends the KILL as soon as the server shows the query, unless the query is answered first.
func (k *kill) send(ctx context.Context, m *MySQL, c *Call, id uint32) error {
	p, err := m.killers.take(m.Via, nil, bounds{})
	if err != nil {
		return err
	}
	defer m.killers.give(p)
	own := *c
	own.Phase = nil // the phases are those of the query
	db, in, err := p.connect(ctx, &own)
	if err != nil {
		return err
	}
	defer func() { db.Close(); in.held.release(&own) }()

	look := fmt.Sprintf("SELECT COUNT(*) FROM information_schema.processlist WHERE ID = %d AND INFO LIKE '%%gotimeout run=%s %%'", id, c.Run)
	for running := 0; ; {
		if err := db.QueryRowContext(ctx, look).Scan(&running); err != nil {
			return err
		}
		if running > 0 {
			_, err := db.ExecContext(ctx, fmt.Sprintf("KILL QUERY %d", id))
			k.sent = err == nil
			return err
		}
		select {
		case <-k.answered:
			return nil
		case <-time.After(killEvery): // the query may be on its way, or hidden: MariaDB doesn't show a session that it can't lock
		case <-ctx.Done():
			return fmt.Errorf("the server doesn't show the query: %w", ctx.Err())
		}
	}
}
