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
// BENCHMARK. Every query carries its run's tag in a comment.
type MySQL struct {
	pools       pools
	rounds      atomic.Uint64 // of BENCHMARK in a second, as float64 bits; 0 until Calibrate
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
	p, err := m.pools.take(0)
	if err != nil {
		return nil, err
	}
	m.pools.give(p)
	return p.db, nil
}

// ErrCutShort is the error of a SELECT SLEEP that returned 1: something in the
// server, such as max_execution_time, ended it early without an error.
var ErrCutShort = errors.New("the server cut SLEEP short")

// Do calls. An error of the server matches *mysql.MySQLError; a driver's own
// timeout matches os.ErrDeadlineExceeded, which the driver reports as
// mysql.ErrInvalidConn alone. Work of WorkCPU needs Calibrate first.
func (m *MySQL) Do(ctx context.Context, c Call) error {
	if c.Deaf {
		ctx = context.WithoutCancel(ctx)
	}
	query, err := m.query(c)
	if err != nil {
		return fmt.Errorf("mysql: %w", err)
	}
	p, err := m.pools.take(c.IOTimeout)
	if err != nil {
		return fmt.Errorf("mysql: %w", err)
	}
	defer m.pools.give(p)
	db, err := p.db.Conn(context.WithValue(ctx, callKey{}, &c))
	if err != nil {
		return fmt.Errorf("mysql connect: %w", cutBy(ctx, err))
	}
	var held *conn
	_ = db.Raw(func(driverConn any) error { held = driverConn.(*mysqlConn).held; return nil })
	if held.holder.Load() != &c {
		held.hold(&c)
		call(c.Reused)
	}
	defer func() { db.Close(); held.release(&c) }()

	var result int
	if err := db.QueryRowContext(ctx, query).Scan(&result); err != nil {
		return fmt.Errorf("mysql query: %w", named(err, held))
	}
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

// named adds to the driver's ErrInvalidConn that it was a timeout, if it was.
func named(err error, held *conn) error {
	if errors.Is(err, mysql.ErrInvalidConn) && held != nil && held.timedOut.Load() {
		return fmt.Errorf("%w: %w", err, os.ErrDeadlineExceeded)
	}
	return err
}

// wrong returns an error if result is not what the query answers to its end.
func wrong(c Call, result int) error {
	switch {
	case c.Delay == 0 && result != 1:
		return fmt.Errorf("mysql: SELECT 1 answered %d", result)
	case c.Delay > 0 && result != 0:
		return fmt.Errorf("mysql: %w", ErrCutShort)
	}
	return nil
}

func (m *MySQL) query(c Call) (string, error) {
	tag := "/* gotimeout run=" + c.Run + " */"
	switch {
	case c.Delay == 0:
		return "SELECT " + tag + " 1", nil
	case c.Work == WorkCPU:
		rounds := math.Float64frombits(m.rounds.Load())
		if rounds == 0 {
			return "", errors.New("the speed of BENCHMARK is not known yet: call Calibrate first")
		}
		return "SELECT " + tag + " " + benchmark(c.Delay.Seconds()*rounds), nil
	default:
		return "SELECT " + tag + " SLEEP(" + seconds(c.Delay) + ")", nil
	}
}

func benchmark(rounds float64) string {
	return fmt.Sprintf("BENCHMARK(%.0f, MD5('gotimeout'))", max(rounds, 1))
}

// Calibrate measures how many rounds of BENCHMARK the server computes in a
// second while nothing else keeps it busy, the first time that it is called
// with success, and does nothing from then on. It takes about 100 ms; calls
// at the same time wait for one of them.
func (m *MySQL) Calibrate(ctx context.Context) error {
	if m.rounds.Load() != 0 {
		return nil
	}
	select {
	case m.calibrating <- struct{}{}:
		defer func() { <-m.calibrating }()
	case <-ctx.Done():
		return fmt.Errorf("mysql calibrate: %w", ctx.Err())
	}
	if m.rounds.Load() != 0 {
		return nil
	}
	db, err := m.DB()
	if err != nil {
		return fmt.Errorf("mysql calibrate: %w", err)
	}
	const enough = 50 * time.Millisecond
	for rounds := 1000.0; ; rounds *= 2 {
		start := time.Now()
		var result int
		if err := db.QueryRowContext(ctx, "SELECT "+benchmark(rounds)).Scan(&result); err != nil {
			return fmt.Errorf("mysql calibrate: %w", err)
		}
		if took := time.Since(start); took >= enough {
			m.rounds.Store(math.Float64bits(rounds / took.Seconds()))
			return nil
		}
	}
}
