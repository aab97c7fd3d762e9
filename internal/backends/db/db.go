// Package dbbackend stands in for MySQL. It is no database: it knows the handful of statements that the lab sends, and refuses
// any other with a list of them. Where a real MySQL or MariaDB takes its place, [Look] reads that server's process list, from
// which a [backends.ProcessList] finds out when a run's query has ended.
//
// A run's tag is the comment "/* gotimeout run=ID */". As in MySQL, BENCHMARK never notices that its client has left, and SLEEP
// notices it at its next check, 5 s apart.
package dbbackend

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/server"

	"gotimeout/internal/backends"
)

const (
	dbVersion       = "8.0.11-gotimeout"
	dbVersionNumber = 80011

	// User is the user of the database, who has no password.
	User = "lab"
)

// Start starts a database that speaks MySQL's protocol to the user "lab", who has no password, under any database name.
// It knows the statements that a lab sends and answers error 1064, with the list of them, to any other.
//
// A BENCHMARK stops after four times MaxDelay with error 3024, as if the server had max_execution_time set to it.
func Start(o backends.Options) (*backends.Server, error) {
	return start(o, 0, 5*time.Second, 10*time.Second)
}

// StartWithin is Start of a database that allows that many sessions, as max_connections does. A session lives until its query has
// ended, also when its client has left.
func StartWithin(o backends.Options, sessions int64) (*backends.Server, error) {
	return start(o, sessions, 5*time.Second, 10*time.Second)
}

// start takes the times that tests shorten: how often SLEEP checks whether its client has left, which MySQL fixes at 5 s,
// and how long a client may take to log in.
func start(o backends.Options, allowed int64, poll, handshake time.Duration) (*backends.Server, error) {
	s, err := backends.Listen("db", o)
	if err != nil {
		return nil, err
	}
	db := &database{
		Server: s,
		// Not NewDefaultServer, which spends a quarter of a second on making keys for TLS.
		protocol:  server.NewServerWithAuth(dbVersion, mysql.DEFAULT_COLLATION_ID, mysql.AUTH_NATIVE_PASSWORD, nil, nil, login{}),
		longest:   o.MaxDelay,
		allowed:   allowed,
		poll:      poll,
		handshake: handshake,
		sessions:  map[uint32]*session{},
	}
	s.ServeEach(db.serve)
	return s, nil
}

type database struct {
	*backends.Server
	protocol  *server.Server
	longest   time.Duration
	poll      time.Duration
	handshake time.Duration
	allowed   int64        // sessions at once, 0 is no bound
	open      atomic.Int64 // sessions, from the accept on

	sessionsMu sync.Mutex
	sessions   map[uint32]*session // by connection id
}

// serve logs a client in and answers its commands until it quits or leaves.
func (db *database) serve(nc net.Conn) {
	// go-mysql panics on an empty packet. The client that sends one loses its connection, and the lab goes on.
	defer func() { _ = recover() }()

	defer db.open.Add(-1)
	if open := db.open.Add(1); db.allowed > 0 && open > db.allowed {
		_, _ = nc.Write(tooManyConnections)
		return
	}
	s := &session{db: db, client: backends.NewClient(nc), host: nc.RemoteAddr().String()}
	if err := nc.SetDeadline(time.Now().Add(db.handshake)); err != nil {
		return
	}
	c, err := db.protocol.NewCustomizedConn(s.client, login{}, s)
	if err != nil {
		return
	}
	if err := nc.SetDeadline(time.Time{}); err != nil {
		return
	}
	c.SetStatus(mysql.SERVER_STATUS_AUTOCOMMIT)
	s.conn, s.id = c, c.ConnectionID()
	db.add(s)
	defer db.remove(s)
	for !s.denied && c.HandleCommand() == nil { // after COM_QUIT the next call fails
	}
}

func (db *database) add(s *session) {
	db.sessionsMu.Lock()
	defer db.sessionsMu.Unlock()
	s.since = time.Now()
	db.sessions[s.id] = s
}

func (db *database) remove(s *session) {
	db.sessionsMu.Lock()
	defer db.sessionsMu.Unlock()
	delete(db.sessions, s.id)
}

// session returns the session of a connection id, or nil.
func (db *database) session(id uint32) *session {
	db.sessionsMu.Lock()
	defer db.sessionsMu.Unlock()
	return db.sessions[id]
}

// tooManyConnections is the packet of error 1040, which comes in the greeting's place and has no SQL state.
var tooManyConnections = []byte("\x17\x00\x00\x00\xff\x10\x04Too many connections")

// Error codes of MySQL that go-mysql does not name.
const (
	erServerShutdown   = 1053
	erStatementTimeout = 1969 // of MariaDB
	erQueryTimeout     = 3024
)

var (
	errInterrupted  = mysql.NewDefaultError(mysql.ER_QUERY_INTERRUPTED)
	errShutdown     = &mysql.MyError{Code: erServerShutdown, State: "08S01", Message: "Server shutdown in progress"}
	errQueryTimeout = &mysql.MyError{
		Code: erQueryTimeout, State: "HY000",
		Message: "Query execution was interrupted, maximum statement execution time exceeded",
	}
	errStatementTimeout = &mysql.MyError{
		Code: erStatementTimeout, State: "70100",
		Message: "Query execution was interrupted (max_statement_time exceeded)",
	}
)

// session is one client's connection to the database. Its Handle methods are go-mysql's server.Handler and are called one after
// the other on the goroutine that reads from the connection.
type session struct {
	db     *database
	client *backends.Client
	id     uint32
	host   string
	conn   *server.Conn
	limits limits // of its statements
	denied bool   // COM_CHANGE_USER was refused, which ends the session

	mu     sync.Mutex // guards what the process list shows, and kill
	schema string
	info   string // the SQL that runs now, or ""
	state  string
	since  time.Time
	kill   context.CancelCauseFunc // ends the query that runs now, or nil
}

// HandleQuery carries out one statement.
func (s *session) HandleQuery(sql string) (*mysql.Result, error) {
	t, err := s.query(sql)
	if err != nil {
		return nil, err
	}
	return t.result(false)
}

// query carries out one statement. The job has ended, and left the process list, before the answer is written.
func (s *session) query(sql string) (*table, error) {
	st := parseStatement(sql)
	ctx, done := s.begin(sql, st.run)
	defer done()
	text, limits, err := s.limits.of(st)
	if err != nil {
		return nil, err
	}
	ctx, cancel := limits.bound(ctx)
	defer cancel()
	return s.run(ctx, text)
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
