package slowops

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

// MySQL is the op db: SELECT 1 without a delay, else SELECT SLEEP or SELECT
// BENCHMARK. Every query carries its run's tag in a comment, and that of a call
// with a Traceparent carries it in another one, as sqlcommenter writes it.
type MySQL struct {
	// Via is the host:port to dial in the place of the DSN's, which still is
	// whose certificate is checked. "" is the DSN's own. Set it before the
	// first call.
	Via string

	pools       pools
	speed       speed
	calibrating chan struct{} // holds one that does
}

// NewMySQL returns an op on the server of cfg. maxConns bounds the connections
// of its pool; 0 is no bound, so that no call waits for another's connection.
// Close it after use.
func NewMySQL(cfg *mysql.Config, maxConns int) *MySQL {
	return &MySQL{pools: pools{cfg: cfg, maxConns: maxConns}, calibrating: make(chan struct{}, 1)}
}

// Close closes the idle connections, and the others as they come back.
func (m *MySQL) Close() { m.pools.close() }

// DB returns the pool of the calls without an IOTimeout.
func (m *MySQL) DB() (*sql.DB, error) {
	p, err := m.pools.take(m.Via, bounds{})
	if err != nil {
		return nil, err
	}
	m.pools.give(p)
	return p.db, nil
}

// ErrCutShort is the error of a SELECT SLEEP that returned 1: something in the
// server, such as max_execution_time, ended it early without an error.
var ErrCutShort = errors.New("the server cut SLEEP short")

// ErrNotSent is the error of a call whose query was never sent, because it got
// no connection.
var ErrNotSent = errors.New("mysql connect")

// Do calls. An error of the server matches *mysql.MySQLError; a driver's own
// timeout matches os.ErrDeadlineExceeded, which the driver reports as
// mysql.ErrInvalidConn alone; one that has a name is a *Failure. Work of
// WorkCPU needs Calibrate first.
func (m *MySQL) Do(ctx context.Context, c Call) error {
	ctx, cancel := c.context(ctx)
	defer cancel()
	err := m.do(ctx, c)
	if err != nil && ctx.Err() == nil {
		return named(err)
	}
	return err
}

func (m *MySQL) do(ctx context.Context, c Call) error {
	query, rounds, err := m.query(c)
	if err != nil {
		return fmt.Errorf("mysql: %w", err)
	}
	p, err := m.pools.take(m.Via, boundsOf(&c))
	if err != nil {
		return fmt.Errorf("mysql: %w", err)
	}
	defer m.pools.give(p)
	db, err := p.db.Conn(context.WithValue(ctx, callKey{}, &c))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotSent, cutBy(ctx, err))
	}
	var held *conn
	_ = db.Raw(func(driverConn any) error { held = driverConn.(*mysqlConn).held; return nil })
	if held.holder.Load() != &c {
		held.hold(&c)
		call(c.Reused)
	}
	defer func() { db.Close(); held.release(&c) }()

	start, result := time.Now(), 0
	if err := db.QueryRowContext(ctx, query).Scan(&result); err != nil {
		return fmt.Errorf("mysql query: %w", unhidden(err, held, p.bounds.io))
	}
	m.speed.learn(rounds, time.Since(start))
	return wrong(c, result)
}

// cutBy adds to a dial's timeout that it was ctx's, if it was: net puts ctx's
// deadline on the socket too, whose own error may come first.
func cutBy(ctx context.Context, err error) error {
	at, ok := ctx.Deadline()
	if ok && !time.Now().Before(at) && errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	return err
}

// unhidden adds to the driver's ErrInvalidConn what it was: a timeout of io, or
// what else the connection failed of.
func unhidden(err error, held *conn, io time.Duration) error {
	if !errors.Is(err, mysql.ErrInvalidConn) || held == nil || held.why() == nil {
		return err
	}
	err = fmt.Errorf("%w: %w", err, held.why())
	if io > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		return &Failure{code: readTimeout, within: io, err: err}
	}
	return err
}

// wrong returns an error if result is not what the query answers to its end.
func wrong(c Call, result int) error {
	switch {
	case c.Delay == 0 && result != 1:
		return &Failure{code: wrongAnswer, err: fmt.Errorf("mysql: SELECT 1 answered %d: the connection is poisoned", result)}
	case c.Delay > 0 && result != 0:
		return fmt.Errorf("mysql: %w", ErrCutShort)
	}
	return nil
}

// query returns the statement of a call, and how many rounds it computes.
func (m *MySQL) query(c Call) (query string, rounds float64, err error) {
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

// speed is how many rounds of BENCHMARK a server computes in a second, as the
// bits of a float64; 0 is not known.
type speed struct{ bits atomic.Uint64 }

func (s *speed) get() float64 { return math.Float64frombits(s.bits.Load()) }

// learn raises the speed to what was seen: a measurement on a busy machine is
// too low, never too high.
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

// Calibrate measures how many rounds of BENCHMARK the server computes in a
// second, the first time that it is called with success, and does nothing from
// then on. It takes a tenth of a second and about ten round trips; calls at the
// same time wait for one of them. On a busy machine it finds too few, and later
// calls are shorter than their delay until they have shown how fast it is.
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

// calibrate returns how long some rounds take, less the round trip.
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

// fastest is the shortest of three, as the others were disturbed.
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
