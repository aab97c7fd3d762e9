package dbbackend

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"gotimeout/internal/backends"
)

// MySQL's errors that go-mysql has no name for.
const (
	erServerShutdown = 1053
	erQueryTimeout   = 3024
)

var (
	errInterrupted  = mysql.NewDefaultError(mysql.ER_QUERY_INTERRUPTED)
	errShutdown     = &mysql.MyError{Code: erServerShutdown, State: "08S01", Message: "Server shutdown in progress"}
	errQueryTimeout = &mysql.MyError{
		Code: erQueryTimeout, State: "HY000",
		Message: "Query execution was interrupted, maximum statement execution time exceeded",
	}
)

// session is one client's connection to the database. Its Handle methods are go-mysql's server.Handler and are called one after
// the other on the goroutine that reads from the connection.
type session struct {
	db     *database
	client *backends.Client
	id     uint32
	host   string

	mu     sync.Mutex // over what other connections see in the process list, and kill
	schema string
	info   string // the SQL that runs now, or ""
	state  string
	since  time.Time
	kill   context.CancelCauseFunc // ends the query that runs now, or nil
}

// HandleQuery carries out one statement. The job has ended, and left the process list, before the answer is written.
func (s *session) HandleQuery(sql string) (*mysql.Result, error) {
	st := parseStatement(sql)
	ctx, done := s.begin(sql, st.run)
	defer done()
	if st.limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, st.limit, errQueryTimeout)
		defer cancel()
	}
	return s.run(ctx, st.text)
}

// begin enters a query in the process list and as a job, until done.
func (s *session) begin(sql, run string) (ctx context.Context, done func()) {
	ctx, kill := context.WithCancelCause(s.db.Context())
	s.enter(sql, "executing", kill)
	end := s.db.Begin(run, sql)
	return ctx, func() {
		s.enter("", "", nil)
		kill(nil)
		end()
	}
}

func (s *session) enter(info, state string, kill context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info, s.state, s.since, s.kill = info, state, time.Now(), kill
}

// interrupt ends the query that runs now, if one does.
func (s *session) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kill != nil {
		s.kill(errInterrupted)
	}
}

// interruption returns the error of a query whose context has ended.
func interruption(ctx context.Context) error {
	if e := (*mysql.MyError)(nil); errors.As(context.Cause(ctx), &e) {
		return e
	}
	return errShutdown
}

// UseDB accepts any name.
func (s *session) UseDB(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.schema = name
	return nil
}

func (s *session) HandleFieldList(string, string) ([]*mysql.Field, error) {
	return nil, mysql.NewDefaultError(mysql.ER_UNKNOWN_COM_ERROR)
}

// HandleStmtPrepare refuses: a client that interpolates its arguments, or has none, needs no prepared statements.
func (s *session) HandleStmtPrepare(string) (int, int, any, error) {
	return 0, 0, nil, mysql.NewError(mysql.ER_UNSUPPORTED_PS,
		"This database does not support prepared statements: send the statement as text (interpolateParams=true)")
}

func (s *session) HandleStmtExecute(any, string, []any) (*mysql.Result, error) {
	return nil, mysql.NewDefaultError(mysql.ER_UNSUPPORTED_PS)
}

func (s *session) HandleStmtClose(any) error { return nil }

func (s *session) HandleOtherCommand(byte, []byte) error {
	return mysql.NewDefaultError(mysql.ER_UNKNOWN_COM_ERROR)
}
