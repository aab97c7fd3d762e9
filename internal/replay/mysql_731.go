package replay

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gotimeout/internal/backends"
)

func mysqlQueryGoesOn() Experiment {
	return Experiment{
		ID: "mysql-731", Title: "a query runs on in the server after its context has ended",
		Issues:   []string{"https://github.com/go-sql-driver/mysql/issues/731", "https://github.com/go-sql-driver/mysql/pull/791"},
		Reported: "After QueryContext has returned context.DeadlineExceeded, SHOW PROCESSLIST still has the query: the driver closes its connection and sends no KILL.",
		Does: "Two queries of many seconds get a context of 0.3 s, and the server says when it stopped working on each. " +
			"SLEEP looks for its client every 5 s, so it is the wrong probe: it ends early. BENCHMARK, as a query that computes, never looks and runs to its end.",
		Remedy: "Give the server the limit too: the hint MAX_EXECUTION_TIME (MySQL) or max_statement_time (MariaDB).",
		run:    replayQueryGoesOn,
	}
}

func replayQueryGoesOn(_ context.Context, remedy bool) (o Outcome, err error) {
	const timeout, watched = 300 * time.Millisecond, 8 * time.Second // MySQL's SLEEP looks every 5 s
	sleep, benchmark := make(chan struct{}), make(chan struct{})
	ended := map[string]chan struct{}{"sleep": sleep, "benchmark": benchmark}
	db, _, err := startMySQL(backends.Options{Ended: func(run string) { close(ended[run]) }}, 0)
	if err != nil {
		return o, err
	}
	hint := ""
	if remedy {
		hint = fmt.Sprintf("/*+ MAX_EXECUTION_TIME(%d) */ ", timeout.Milliseconds())
	}
	var asking sync.WaitGroup
	for run, work := range map[string]string{"sleep": "SLEEP(20)", "benchmark": "BENCHMARK(1000000000000, MD5('a'))"} {
		asking.Go(func() { _, _ = query(db, timeout, fmt.Sprintf("SELECT %s/* gotimeout run=%s */ %s", hint, run, work)) })
	}
	asking.Wait()
	answered := time.Now()
	early := within(watched, sleep)
	slept := time.Since(answered)
	computed := within(time.Until(answered.Add(watched)), benchmark)
	ran := time.Since(answered)
	return Outcome{
		Saw: fmt.Sprintf("SLEEP(20) %s %s after the answer, BENCHMARK %s %s after it.",
			map[bool]string{true: "ended", false: "still ran"}[early], sec(slept), map[bool]string{true: "had ended", false: "still ran"}[computed], sec(ran)),
		Reproduced: slept > time.Second && !computed,
	}, nil
}
