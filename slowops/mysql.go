package slowops

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

// MySQL is the op db: it queries SELECT 1 without a delay, else SELECT SLEEP or
// SELECT BENCHMARK. Every query has the run's tag in a comment. The query of a call
// with a Traceparent has that in a second comment, in sqlcommenter's format.
type MySQL struct {
	// Via is the host:port to dial instead of the DSN's. The check of the
	// certificate still names the DSN's host. "" dials the DSN's own host. Set
	// Via before the first call.
	Via string

	// Statement is the own call: each call runs Statement instead and reads all its
	// rows, and errors quote nothing of it. Without Write, each of its transactions is
	// read-only. A call uses only its run's tag and its timeouts. Set both before the
	// first call.
	Statement string
	Write     bool

	pools       pools
	killers     pools // for KILL QUERY
	speed       speed
	calibrating chan struct{} // holds the one call that calibrates
}

// NewMySQL returns an op on the server of cfg. maxConns bounds the connections of
// its pool; 0 is no bound, so that no call waits for the connection of another. The
// timeouts of cfg are not used: a call has its own. Call Close after use.
func NewMySQL(cfg *mysql.Config, maxConns int) *MySQL {
	m := &MySQL{pools: pools{cfg: cfg, maxConns: maxConns}, killers: pools{cfg: cfg, maxConns: maxKillers}, calibrating: make(chan struct{}, 1)}
	m.SetMaxIdle(noLimit)
	return m
}

// SetMaxIdle bounds the idle connections that the op keeps, half of them for KILL QUERY; 0 keeps none. Call it before
// the first call.
func (m *MySQL) SetMaxIdle(n int) { m.pools.maxIdle, m.killers.maxIdle = (n+1)/2, n/2 }

// Close closes the idle connections, and each connection in use when its call returns.
func (m *MySQL) Close() {
	m.pools.close()
	m.killers.close()
}

// DB returns the pool of the calls that have no timeout of their own.
func (m *MySQL) DB() (*sql.DB, error) {
	p, err := m.pools.take(m.Via, m.first(bounds{}), bounds{})
	if err != nil {
		return nil, err
	}
	m.pools.give(p)
	return p.db, nil
}

// ErrCutShort is matched by the error of a call whose work something in the server
// ended early without an error: a SELECT SLEEP that returned 1, as under MySQL's
// max_execution_time, or a SELECT BENCHMARK that took far less than its rounds take,
// as under MariaDB's max_statement_time or after a KILL.
var ErrCutShort = errors.New("the server cut the work short")

// ErrNotSent is matched by the error of a call that got no connection, so that its
// query was never sent.
var ErrNotSent = errors.New("no connection")

// Do makes the query. Call Calibrate before the first call of WorkCPU. When ctx
// ended an aware call, the error matches ctx.Err(). Else an error of the server
// matches *mysql.MySQLError; a timeout of the driver matches os.ErrDeadlineExceeded,
// where the driver's own error matches only mysql.ErrInvalidConn; an error that has a
// name is a *Failure.
func (m *MySQL) Do(ctx context.Context, c Call) error {
	ctx, cancel := c.context(ctx)
	defer cancel()
	err := m.do(ctx, c)
	if err != nil && ctx.Err() == nil {
		err = named(err)
	} else {
		err = limited(ctx, err)
	}
	if m.Statement != "" && !errors.Is(err, ErrNotSent) {
		err = keepSecret("mysql query", err)
	}
	return err
}

func (m *MySQL) do(ctx context.Context, c Call) error {
	query, rounds, err := m.query(c)
	if err != nil {
		return fmt.Errorf("mysql: %w", err)
	}
	b := boundsOf(&c)
	p, err := m.pools.take(m.Via, m.first(b), b)
	if err != nil {
		return fmt.Errorf("mysql: %w", err)
	}
	defer m.pools.give(p)
	db, in, err := p.connect(ctx, &c)
	if err != nil {
		return fmt.Errorf("mysql: %w: %w", ErrNotSent, cutBy(ctx, err))
	}
	held := in.held
	defer func() { db.Close(); held.release(&c) }()

	result := 0
	ask := func(ctx context.Context) error {
		if m.Statement != "" {
			return readAll(ctx, db, query)
		}
		return db.QueryRowContext(ctx, query).Scan(&result)
	}
	start, killed := time.Now(), false
	if c.KillAfter > 0 {
		killed, err = m.askOrKill(ctx, &c, db, in, ask)
	} else {
		// The driver stops watching ctx before it has read the result to its end.
		defer cutWith(ctx, db, held)()
		err = ask(ctx)
	}
	took := time.Since(start)
	switch {
	case killed:
		return &Failure{code: queryKilled, within: c.KillAfter, err: fmt.Errorf("mysql query: %w", endedBy(ctx, err))}
	case err != nil:
		err = fmt.Errorf("mysql query: %w", endedBy(ctx, withCause(err, held, p.bounds.io)))
	case m.Statement == "":
		if err = wrong(c, result); err == nil {
			err = m.checkBenchmark(ctx, db, &c, rounds, took)
		}
	}
	return atServerLimit(&c, took, err)
}

// The errors of a statement that took longer than the limit of the server.
const (
	erQueryTimeout     = 3024 // MySQL, max_execution_time
	erStatementTimeout = 1969 // MariaDB, max_statement_time
)

// atServerLimit names the error of a statement that the server has ended at the call's
// ServerLimit.
func atServerLimit(c *Call, took time.Duration, err error) error {
	var answer *mysql.MySQLError
	byAnswer := errors.As(err, &answer) && (answer.Number == erQueryTimeout || answer.Number == erStatementTimeout)
	if c.ServerLimit > 0 && (byAnswer || errors.Is(err, ErrCutShort) && took >= c.ServerLimit) {
		return &Failure{code: serverLimit, within: c.ServerLimit, err: err}
	}
	return err
}

// first returns the first statements of each connection. In a read-only session each
// transaction of an own statement is read-only, without the further round trips of START
// TRANSACTION and ROLLBACK. Of the two limits MySQL reads the first, in milliseconds, and
// MariaDB the second, in seconds; to each the other one is a comment.
func (m *MySQL) first(b bounds) (statements []string) {
	if m.Statement != "" && !m.Write {
		statements = append(statements, "SET SESSION TRANSACTION READ ONLY")
	}
	if b.server > 0 {
		limit := (b.server + time.Millisecond - 1).Truncate(time.Millisecond) // rounded up, as 0 is no limit
		statements = append(statements, fmt.Sprintf("SET SESSION /*!50708 max_execution_time=%d *//*M!100101 max_statement_time=%s */", limit.Milliseconds(), seconds(limit)))
	}
	return statements
}

// readAll runs a query and reads all rows of all its results.
func readAll(ctx context.Context, db *sql.Conn, query string) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for more := true; more; more = rows.NextResultSet() {
		for rows.Next() { // reads the next row from the connection
		}
	}
	return rows.Err()
}

// cutWith ends each read and write of the connection when ctx ends, until stop is
// called. stop keeps a connection that was cut out of the pool: the deadline may
// have come after the answer, and would end the next call.
func cutWith(ctx context.Context, db *sql.Conn, held *conn) (stop func()) {
	going := context.AfterFunc(ctx, func() { _ = held.SetDeadline(past) })
	return func() {
		if !going() {
			_ = db.Raw(func(any) error { return driver.ErrBadConn })
		}
	}
}

// endedBy adds ctx's error to an error that the end of ctx caused, where the driver has not.
func endedBy(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}

// cutBy adds context.DeadlineExceeded to the timeout of a dial if ctx's deadline has
// passed. Package net puts ctx's deadline on the socket too, and the socket's own
// error may come first.
func cutBy(ctx context.Context, err error) error {
	at, ok := ctx.Deadline()
	if ok && !time.Now().Before(at) && errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	return err
}

// withCause adds to the driver's ErrInvalidConn the error of the connection, which
// the driver hides: the timeout io, or another one.
func withCause(err error, held *conn, io time.Duration) error {
	if !errors.Is(err, mysql.ErrInvalidConn) || held == nil || held.firstError() == nil {
		return err
	}
	err = fmt.Errorf("%w: %w", err, held.firstError())
	if io > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		return &Failure{code: readTimeout, within: io, err: err}
	}
	return err
}

// wrong returns an error if result is not the result of a query that ran to its end.
func wrong(c Call, result int) error {
	switch {
	case c.Delay == 0 && result != 1:
		return &Failure{code: wrongAnswer, err: fmt.Errorf("mysql: SELECT 1 answered %d: the connection is poisoned", result)}
	case c.Delay > 0 && result != 0:
		return fmt.Errorf("mysql: %w", ErrCutShort)
	}
	return nil
}

// query returns the statement of a call, and the rounds of its BENCHMARK or 0.
func (m *MySQL) query(c Call) (query string, rounds float64, err error) {
	if m.Statement != "" {
		return m.tagged(c), 0, nil
	}
	query = "SELECT /* gotimeout run=" + c.Run + " */ "
	switch {
	case c.Delay == 0:
		query += "1"
	case c.Work == WorkCPU:
		if rounds = c.Delay.Seconds() * m.speed.get(); rounds == 0 {
			return "", 0, errors.New("the speed of BENCHMARK is not known yet: call Calibrate first")
		}
		query += benchmark(rounds)
	default:
		query += "SLEEP(" + seconds(c.Delay) + ")"
	}
	if c.Traceparent != "" {
		query += " /*traceparent='" + c.Traceparent + "'*/"
	}
	return query, rounds, nil
}

// tagged returns the own statement with the comments of a call before it, because a
// statement may end in a comment of its own.
func (m *MySQL) tagged(c Call) string {
	comments := "/* gotimeout run=" + c.Run + " */ "
	if c.Traceparent != "" {
		comments += "/*traceparent='" + c.Traceparent + "'*/ "
	}
	return comments + m.Statement
}

// speed is the number of rounds of BENCHMARK that a server computes in a second, as
// the bits of a float64; 0 is not known.
type speed struct{ bits atomic.Uint64 }

func (s *speed) get() float64 { return math.Float64frombits(s.bits.Load()) }

// learn raises the speed to a measured one. A busy machine makes a measurement too
// low, never too high. A BENCHMARK that the server has ended early must not come
// here: the server answers it like one that ran to its end.
func (s *speed) learn(rounds float64, took time.Duration) {
	seen := rounds / took.Seconds()
	for old := s.bits.Load(); seen > math.Float64frombits(old); old = s.bits.Load() {
		if s.bits.CompareAndSwap(old, math.Float64bits(seen)) {
			return
		}
	}
}

func benchmark(rounds float64) string {
	return fmt.Sprintf("BENCHMARK(%.0f, MD5('gotimeout'))", max(rounds, 1))
}

// Calibrate measures how many rounds of BENCHMARK the server computes in a second.
// After it has succeeded once, it returns nil at once. It takes a tenth of a second
// and about ten round trips; of several calls at once, one measures and the others
// wait for it. A busy machine makes the measured speed too low. A call of WorkCPU is
// then shorter than its delay, and has the speed measured again.
func (m *MySQL) Calibrate(ctx context.Context) error {
	select {
	case m.calibrating <- struct{}{}:
		defer func() { <-m.calibrating }()
	case <-ctx.Done():
		return fmt.Errorf("mysql calibrate: %w", ctx.Err())
	}
	if m.speed.get() != 0 {
		return nil
	}
	db, err := m.DB()
	if err != nil {
		return fmt.Errorf("mysql calibrate: %w", err)
	}
	one, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("mysql calibrate: %w", err)
	}
	defer one.Close()
	rounds, took, err := calibrate(ctx, one)
	if err != nil {
		return fmt.Errorf("mysql calibrate: %w", err)
	}
	m.speed.learn(rounds, took)
	return nil
}

// Speed returns the measured speed in rounds of BENCHMARK a second, 0 before Calibrate.
func (m *MySQL) Speed() float64 { return m.speed.get() }

// SetSpeed sets the speed as another MySQL of the same server has measured it, in the place
// of Calibrate.
func (m *MySQL) SetSpeed(rounds float64) { m.speed.learn(rounds, time.Second) }

// calibrate returns how long a number of rounds takes, without the round trip.
func calibrate(ctx context.Context, db *sql.Conn) (rounds float64, took time.Duration, err error) {
	trip, err := fastest(ctx, db, 1)
	if err != nil {
		return 0, 0, err
	}
	const enough = 20 * time.Millisecond
	for rounds = 1000; ; rounds *= 8 {
		took, err = timeRounds(ctx, db, rounds)
		if err != nil {
			return 0, 0, err
		}
		if took-trip < enough {
			continue
		}
		again, err := fastest(ctx, db, rounds)
		if took = min(took, again) - trip; err != nil || took >= enough/2 {
			return rounds, took, err
		}
	}
}

// checkBenchmark returns an error if a BENCHMARK took so little time that the server
// can't have computed all its rounds. MariaDB answers a BENCHMARK that
// max_statement_time or KILL has ended like each other one, without a warning. But
// the calibration may also have been too low. So a short measurement decides, at the
// speed that the time would mean.
func (m *MySQL) checkBenchmark(ctx context.Context, db *sql.Conn, c *Call, rounds float64, took time.Duration) error {
	if rounds == 0 || took >= c.Delay*9/10 || took < c.ServerLimit {
		return nil
	}
	const sample = 2 * time.Millisecond // within a slice of Linux's scheduler, so that a busy machine computes some sample without a pause
	short := fmt.Errorf("mysql: %w: BENCHMARK for %s took %s; is there a max_statement_time, or was the query killed?",
		ErrCutShort, c.Delay, took.Round(time.Millisecond))
	if c.ServerLimit > 0 { // it would end the measurement as well
		return short
	}
	trip, err := fastest(ctx, db, 1)
	if err != nil {
		return short
	}
	rounds *= sample.Seconds() / max(took-trip, time.Millisecond).Seconds()
	for range busyTries {
		least, err := fastest(ctx, db, rounds)
		if err != nil {
			return short
		}
		if least-trip <= sample*4/3 {
			m.speed.learn(rounds, max(least-trip, sample*3/4))
			return nil
		}
		if least-trip > 25*sample { // no machine is that busy each time
			break
		}
	}
	return short
}

// busyTries is how often a measurement that blames the server is repeated: a busy
// machine makes it slow too.
const busyTries = 10

// fastest is the shortest of three measurements: noise makes a measurement longer.
func fastest(ctx context.Context, db *sql.Conn, rounds float64) (least time.Duration, err error) {
	for i := range 3 {
		took, err := timeRounds(ctx, db, rounds)
		if err != nil {
			return 0, err
		}
		if i == 0 || took < least {
			least = took
		}
	}
	return least, nil
}

func timeRounds(ctx context.Context, db *sql.Conn, rounds float64) (time.Duration, error) {
	start, result := time.Now(), 0
	err := db.QueryRowContext(ctx, "SELECT "+benchmark(rounds)).Scan(&result)
	return time.Since(start), err
}
