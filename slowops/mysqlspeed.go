package slowops

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

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
