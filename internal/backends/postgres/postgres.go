// Package postgresbackend stands in for PostgreSQL. It is no database: it knows the handful of statements that the lab and a
// client's pool send, and refuses any other with a list of them. Where a real PostgreSQL takes its place, [Look] reads that
// server's pg_stat_activity, from which a [backends.ProcessList] finds out when a run's query has ended.
//
// A run's tag is the comment "/* gotimeout run=ID */". As in PostgreSQL, a query ends early by a cancel request, by
// pg_cancel_backend, or by statement_timeout, each with error 57014. A client that has left is not noticed before the answer.
package postgresbackend

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"gotimeout/internal/backends"
)

// User is the one user, who has no password.
const User = "lab"

const version = "15.0 (goTimeout)"

// handshake is how long a client may take to log in, and longest is the size of the longest message.
const (
	handshake = 10 * time.Second
	longest   = 1 << 20
)

// Start starts a database that speaks PostgreSQL's protocol, without TLS, to the user "lab", who has no password, under any
// database name. It knows the statements that a lab sends and answers error 0A000, with the list of them, to any other.
func Start(o backends.Options) (*backends.Server, error) {
	s, err := backends.Listen("postgres", o)
	if err != nil {
		return nil, err
	}
	db := &database{Server: s, longest: o.MaxDelay, sessions: map[uint32]*session{}}
	s.ServeEach(db.serve)
	return s, nil
}

type database struct {
	*backends.Server
	longest time.Duration

	mu       sync.Mutex
	last     uint32
	sessions map[uint32]*session // by process id
}

// serve logs a client in and answers its messages until it leaves; or it carries out a cancel request.
func (db *database) serve(nc net.Conn) {
	if err := nc.SetDeadline(time.Now().Add(handshake)); err != nil {
		return
	}
	s := &session{db: db, conn: nc, wire: pgproto3.NewBackend(nc, nc), status: 'I', statements: map[string]string{}}
	s.wire.SetMaxBodyLen(longest)
	for {
		m, err := s.wire.ReceiveStartupMessage()
		if err != nil {
			return
		}
		switch m := m.(type) {
		case *pgproto3.SSLRequest, *pgproto3.GSSEncRequest:
			if _, err := nc.Write([]byte{'N'}); err != nil {
				return
			}
		case *pgproto3.CancelRequest:
			if victim := db.session(m.ProcessID); victim != nil && bytes.Equal(victim.secret, m.SecretKey) {
				victim.end(errCancelled)
			}
			return
		case *pgproto3.StartupMessage:
			if s.login(m.Parameters) && nc.SetDeadline(time.Time{}) == nil {
				s.answer()
			}
			db.remove(s)
			return
		}
	}
}

func (db *database) add(s *session) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.last++
	s.pid, s.secret = db.last, make([]byte, 4)
	_, _ = rand.Read(s.secret) // never fails
	db.sessions[s.pid] = s
}

func (db *database) remove(s *session) {
	db.mu.Lock()
	defer db.mu.Unlock()
	delete(db.sessions, s.pid)
}

// session returns the session of a process id, or nil.
func (db *database) session(pid uint32) *session {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.sessions[pid]
}

// all returns the sessions, the oldest first.
func (db *database) all() (all []*session) {
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, pid := range slices.Sorted(maps.Keys(db.sessions)) {
		all = append(all, db.sessions[pid])
	}
	return all
}

// pgError is an error as the client gets it.
type pgError struct{ code, text string }

func (e *pgError) Error() string { return e.text }

var (
	errCancelled  = &pgError{"57014", "canceling statement due to user request"}
	errTimedOut   = &pgError{"57014", "canceling statement due to statement timeout"}
	errTerminated = &pgError{"57P01", "terminating connection due to administrator command"}
	errAborted    = &pgError{"25P02", "current transaction is aborted, commands ignored until end of transaction block"}
)

// session is one client's connection. Its methods but end and process are called on the goroutine that reads from the connection.
type session struct {
	db     *database
	conn   net.Conn
	wire   *pgproto3.Backend
	pid    uint32
	secret []byte

	status     byte              // of the transaction: I(dle), T (in one), or E (in a failed one)
	timeout    time.Duration     // statement_timeout
	local      *time.Duration    // statement_timeout until the end of the transaction, or nil
	statements map[string]string // the prepared statements, by name
	portal     portal            // the bound statement
	failed     bool              // an error came: messages until Sync are ignored

	mu    sync.Mutex              // guards what pg_stat_activity shows, and kill
	query string                  // the query that runs, or the last one
	kill  context.CancelCauseFunc // ends the query that runs now, or nil
}

type portal struct {
	sql     string
	formats []int16
}

// login refuses other users than lab, and reads statement_timeout as a parameter or in the options.
func (s *session) login(parameters map[string]string) bool {
	var err error
	if name := parameters["user"]; name != User {
		err = &pgError{"28000", `role "` + name + `" does not exist; this database has the user ` + User}
	}
	settings := []string{"statement_timeout=" + parameters["statement_timeout"]}
	for option := range strings.SplitSeq(parameters["options"], "-c") {
		settings = append(settings, strings.TrimSpace(option))
	}
	for _, setting := range settings {
		if text, ok := strings.CutPrefix(setting, "statement_timeout="); ok && text != "" && err == nil {
			s.timeout, err = parseTimeout(text)
		}
	}
	if err != nil {
		s.sendError(err)
		_ = s.wire.Flush()
		return false
	}
	s.db.add(s)
	s.wire.Send(&pgproto3.AuthenticationOk{})
	for _, status := range [][2]string{
		{"server_version", version}, {"server_encoding", "UTF8"}, {"client_encoding", "UTF8"}, {"DateStyle", "ISO, MDY"},
		{"TimeZone", "UTC"}, {"integer_datetimes", "on"}, {"standard_conforming_strings", "on"},
	} {
		s.wire.Send(&pgproto3.ParameterStatus{Name: status[0], Value: status[1]})
	}
	s.wire.Send(&pgproto3.BackendKeyData{ProcessID: s.pid, SecretKey: s.secret})
	s.ready()
	return true
}

func (s *session) ready() {
	s.failed = false
	s.wire.Send(&pgproto3.ReadyForQuery{TxStatus: s.status})
	_ = s.wire.Flush() // after an error the next read fails too
}

func (s *session) sendError(err error) {
	e := &pgError{"XX000", err.Error()}
	errors.As(err, &e)
	severity := "ERROR"
	if e == errTerminated || e.code == "28000" {
		severity = "FATAL"
	}
	s.wire.Send(&pgproto3.ErrorResponse{Severity: severity, SeverityUnlocalized: severity, Code: e.code, Message: e.text})
}

// answer answers messages until the client leaves.
func (s *session) answer() {
	for s.db.Context().Err() == nil {
		m, err := s.wire.Receive()
		if err != nil {
			return
		}
		switch m := m.(type) {
		case *pgproto3.Terminate:
			return
		case *pgproto3.Query:
			s.simple(m.String)
			s.ready()
		case *pgproto3.Sync:
			if s.status == 'I' {
				s.local = nil
			}
			s.ready()
		case *pgproto3.Flush:
			_ = s.wire.Flush()
		default:
			s.extended(m)
		}
	}
}

// simple carries out a text of statements. Until its end the statements are one transaction.
func (s *session) simple(sql string) {
	texts := split(sql)
	if len(texts) == 0 {
		s.wire.Send(&pgproto3.EmptyQueryResponse{})
		return
	}
	ctx, done := s.begin(sql)
	var results []result
	var err error
	for _, text := range texts {
		var r result
		if r, err = s.run(ctx, text); err != nil {
			break
		}
		results = append(results, r)
	}
	if s.status == 'I' {
		s.local = nil
	}
	done()
	for _, r := range results {
		r.describe(s.wire, nil)
		r.send(s.wire, nil)
	}
	if err != nil {
		s.sendError(err)
	}
}

// extended answers a message of the extended protocol.
func (s *session) extended(m pgproto3.FrontendMessage) {
	if s.failed {
		return
	}
	var err error
	switch m := m.(type) {
	case *pgproto3.Parse:
		if _, _, err = s.find(bare(m.Query)); err == nil {
			s.statements[m.Name] = m.Query
			s.wire.Send(&pgproto3.ParseComplete{})
		}
	case *pgproto3.Bind:
		s.portal = portal{s.statements[m.PreparedStatement], slices.Clone(m.ResultFormatCodes)}
		s.wire.Send(&pgproto3.BindComplete{})
	case *pgproto3.Describe:
		err = s.describe(m)
	case *pgproto3.Execute:
		err = s.execute()
	case *pgproto3.Close:
		if m.ObjectType == 'S' {
			delete(s.statements, m.Name)
		}
		s.wire.Send(&pgproto3.CloseComplete{})
	default:
		err = &pgError{"0A000", "this database knows queries, and no COPY and no function calls"}
	}
	if err != nil {
		s.failed = true
		s.sendError(err)
	}
}

func (s *session) describe(m *pgproto3.Describe) error {
	sql, formats := s.portal.sql, s.portal.formats
	if m.ObjectType == 'S' {
		sql, formats = s.statements[m.Name], nil
		s.wire.Send(&pgproto3.ParameterDescription{})
	}
	of, _, err := s.find(bare(sql))
	if err == nil && of.columns == nil {
		s.wire.Send(&pgproto3.NoData{})
	} else if err == nil {
		result{form: of}.describe(s.wire, formats)
	}
	return err
}

func (s *session) execute() error {
	sql := s.portal.sql
	if bare(sql) == "" {
		s.wire.Send(&pgproto3.EmptyQueryResponse{})
		return nil
	}
	ctx, done := s.begin(sql)
	r, err := s.run(ctx, bare(sql))
	done()
	if err == nil {
		r.send(s.wire, s.portal.formats)
	}
	return err
}

// begin enters a query in pg_stat_activity and as a job, until done.
func (s *session) begin(sql string) (ctx context.Context, done func()) {
	ctx, kill := context.WithCancelCause(s.db.Context())
	s.enter(sql, kill)
	end := s.db.Begin(backends.RunTag(sql), sql)
	return ctx, func() {
		s.enter(sql, nil)
		kill(nil)
		end()
	}
}

func (s *session) enter(query string, kill context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.query, s.kill = query, kill
}

// end ends the query that runs now. It reports whether one does.
func (s *session) end(cause error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kill != nil {
		s.kill(cause)
	}
	return s.kill != nil
}

// process returns the query that runs, or the last one.
func (s *session) process() (query string, active bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.query, s.kill != nil
}

// interruption returns the error of a query whose context has ended.
func interruption(ctx context.Context) error {
	if e := (*pgError)(nil); errors.As(context.Cause(ctx), &e) {
		return e
	}
	return errTerminated
}
