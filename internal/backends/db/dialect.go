package dbbackend

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"gotimeout/internal/backends"
)

// form is a statement that the database understands.
type form struct {
	help    string // the statement as a client may write it
	columns int    // of its result; anyNumber where each @@ makes one
	pattern *regexp.Regexp
	do      func(s *session, ctx context.Context, args []string) (*table, error)
}

const anyNumber = -1

// dialect has every statement that the database understands, in the order of the error that lists them.
var dialect = sync.OnceValue(func() []form {
	return []form{
		{"SELECT 1", 1, fold(`SELECT (-?\d+)`), (*session).selectNumber},
		{"SELECT SLEEP(seconds)", 1, fold(`SELECT SLEEP ?\( ?([\d.]+) ?\)`), (*session).selectSleep},
		{"SELECT BENCHMARK(rounds, expression)", 1, fold(`SELECT BENCHMARK ?\( ?(\d+) ?,.+\)`), (*session).selectBenchmark},
		{"SELECT CONNECTION_ID()", 1, fold(`SELECT CONNECTION_ID ?\( ?\)`), (*session).selectConnectionID},
		{"SELECT VERSION()", 1, fold(`SELECT VERSION ?\( ?\)`), (*session).selectVersion},
		{"SELECT DATABASE()", 1, fold(`SELECT (?:DATABASE|SCHEMA) ?\( ?\)`), (*session).selectDatabase},
		{"SELECT USER()", 1, fold(`SELECT (?:USER|CURRENT_USER) ?\( ?\)`), (*session).selectUser},
		{"SELECT @@variable, ...", anyNumber, fold(`SELECT (@@.+?)(?: LIMIT 1)?`), (*session).selectVariables},
		{"SET ...", 0, fold(`SET (.+)`), (*session).set},
		{"USE database", 0, fold("USE `?(\\w+)`?"), (*session).use},
		{"BEGIN", 0, fold(`BEGIN(?: WORK)?|START TRANSACTION(?: .+)?`), (*session).beginTransaction},
		{"COMMIT", 0, fold(`COMMIT(?: WORK)?|ROLLBACK(?: WORK)?`), (*session).endTransaction},
		{"KILL [QUERY|CONNECTION] id", 0, fold(`KILL (?:(QUERY|CONNECTION) )?(\d+)`), (*session).killOther},
		{"SHOW [FULL] PROCESSLIST", 8, fold(`SHOW (FULL )?PROCESSLIST`), (*session).showProcesslist},
		{"SELECT COUNT(*) FROM information_schema.processlist WHERE ID = id AND INFO LIKE '%gotimeout run=ID %'", 1,
			fold(`SELECT COUNT\(\*\) FROM information_schema\.processlist WHERE ID = (\d+) AND INFO LIKE '%gotimeout run=([\w-]*) %'`), (*session).countTagged},
		{"DO 0", 0, fold(`DO -?\d+`), (*session).doNothing},
		{lookSQL, 3, fold(regexp.QuoteMeta(lookSQL)), (*session).selectTagged},
	}
})

// fold compiles a pattern that a whole statement must match, in any case.
func fold(pattern string) *regexp.Regexp { return regexp.MustCompile(`(?is)^` + pattern + `$`) }

// run carries out a statement.
func (s *session) run(ctx context.Context, text string) (*table, error) {
	f, args, err := find(text)
	if err != nil {
		return nil, err
	}
	return f.do(s, ctx, args)
}

// find returns the form of a statement and its arguments. It refuses an unknown one with error 1064 and the list of the known
// ones.
func find(text string) (f form, args []string, err error) {
	for _, f := range dialect() {
		if args := f.pattern.FindStringSubmatch(text); args != nil {
			return f, args[1:], nil
		}
	}
	var known []string
	for _, f := range dialect() {
		known = append(known, f.help)
	}
	return form{}, nil, mysql.NewError(mysql.ER_PARSE_ERROR,
		fmt.Sprintf("This database understands only: %s; not %.80q", strings.Join(known, "; "), text))
}

// table is the result of a statement; nil is one without rows.
type table struct {
	columns []string
	rows    [][]any
}

// result returns the table as the protocol has it: in binary for a prepared statement.
func (t *table) result(binary bool) (*mysql.Result, error) {
	if t == nil {
		return nil, nil
	}
	r, err := mysql.BuildSimpleResultset(t.columns, t.rows, binary && len(t.rows) > 0) // without rows the text form has the columns
	if err != nil {
		return nil, err
	}
	return mysql.NewResult(r), nil
}

// row answers a table of one row with one column.
func row(column string, value any) (*table, error) {
	return &table{[]string{column}, [][]any{{value}}}, nil
}

func (s *session) selectNumber(_ context.Context, args []string) (*table, error) {
	n, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return nil, mysql.NewError(mysql.ER_PARSE_ERROR, "This database's integers have 64 bits")
	}
	return row(args[0], n)
}

func (s *session) selectConnectionID(context.Context, []string) (*table, error) {
	return row("CONNECTION_ID()", s.id)
}

func (s *session) selectVersion(context.Context, []string) (*table, error) {
	return row("VERSION()", dbVersion)
}

// killOther interrupts the query of a connection, and closes the connection unless only the query is meant.
func (s *session) killOther(ctx context.Context, args []string) (*table, error) {
	id, err := strconv.ParseUint(args[1], 10, 32)
	victim := s.db.session(uint32(id))
	if err != nil || victim == nil {
		return nil, mysql.NewError(mysql.ER_NO_SUCH_THREAD, "Unknown thread id: "+args[1])
	}
	victim.interrupt()
	if !strings.EqualFold(args[0], "QUERY") {
		victim.client.Conn.(interface{ Cut() }).Cut()
	}
	if ctx.Err() != nil { // the session killed itself
		return nil, interruption(ctx)
	}
	return nil, nil
}

// selectSleep sleeps and answers 0, as MySQL's SLEEP does. SLEEP checks at fixed intervals whether its client is still there, and
// stops when the client has left: so SLEEP does not show how long a real query runs on after a timeout; BENCHMARK does.
//
// MySQL's limit on the execution time ends a query with only a SLEEP without an error, by the answer 1, as MySQL's manual says.
// MariaDB's limit is error 1969.
// A KILL QUERY does the same on MySQL; here it is error 1317, as on MariaDB and as for any other query.
func (s *session) selectSleep(ctx context.Context, args []string) (*table, error) {
	seconds, err := strconv.ParseFloat(args[0], 64)
	if err != nil {
		return nil, mysql.NewDefaultError(mysql.ER_WRONG_ARGUMENTS, "sleep")
	}
	if seconds > s.db.longest.Seconds() {
		return nil, mysql.NewDefaultError(mysql.ER_WRONG_ARGUMENTS,
			fmt.Sprintf("sleep: %ss is over this database's cap of %s", args[0], s.db.longest))
	}
	s.setState("User sleep")

	column := "SLEEP(" + args[0] + ")"
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	for remaining := time.Until(end); remaining > 0; remaining = time.Until(end) {
		err := backends.Pause(ctx, min(remaining, s.db.poll))
		switch {
		case errors.Is(err, errQueryTimeout):
			return row(column, 1)
		case err != nil:
			return nil, interruption(ctx)
		case remaining > s.db.poll && s.clientGone(ctx):
			return nil, errInterrupted
		}
	}
	return row(column, 0)
}

// clientGone takes a millisecond, because a read after its deadline would not read at all.
func (s *session) clientGone(ctx context.Context) bool {
	return errors.Is(s.client.Stay(ctx, time.Now().Add(time.Millisecond)), backends.ErrClientGone)
}

// busiest bounds a BENCHMARK, in multiples of MaxDelay: on busy processors its rounds take longer than calibrated.
const busiest = 4

// selectBenchmark computes and answers 0. The expression is ignored: each round is the MD5 of the round before, so that no round
// can be left out. BENCHMARK never checks whether its client is still there.
func (s *session) selectBenchmark(ctx context.Context, args []string) (*table, error) {
	rounds, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return nil, mysql.NewDefaultError(mysql.ER_WRONG_ARGUMENTS, "benchmark")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, busiest*s.db.longest, errQueryTimeout)
	defer cancel()

	const between = 1024 // rounds between two checks of ctx: a tenth of a millisecond
	var sum [md5.Size]byte
	for done := uint64(0); done < rounds; done++ {
		if done%between == 0 {
			if context.Cause(ctx) == errStatementTimeout {
				break // as MariaDB, which answers a BENCHMARK that it has ended like each other one
			} else if ctx.Err() != nil {
				return nil, interruption(ctx)
			}
			runtime.Gosched() // gives the lab its turn: a real server would not occupy the lab's processors
		}
		sum = md5.Sum(sum[:])
	}
	return row("BENCHMARK()", 0)
}

func (s *session) setState(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
}

// showProcesslist cuts the SQL after 100 characters without FULL, as MySQL does.
func (s *session) showProcesslist(_ context.Context, args []string) (*table, error) {
	columns := []string{"Id", "User", "Host", "db", "Command", "Time", "State", "Info"}
	var rows [][]any
	for _, p := range s.db.processes() {
		info := p.info
		if args[0] == "" && len(info) > 100 {
			info = info[:100]
		}
		command := "Query"
		if info == "" {
			command = "Sleep"
		}
		// The state is a []byte, because go-mysql makes NULL of an empty string.
		state := []byte(p.state)
		seconds := int64(time.Since(p.since).Seconds())
		rows = append(rows, []any{p.id, User, p.host, orNull(p.schema), command, seconds, state, orNull(info)})
	}
	return &table{columns, rows}, nil
}

// selectTagged answers the query that [Look] sends.
func (s *session) selectTagged(context.Context, []string) (*table, error) {
	var rows [][]any
	for _, p := range s.db.processes() {
		if p.id != s.id && backends.RunTag(p.info) != "" {
			rows = append(rows, []any{p.id, []byte(p.state), p.info})
		}
	}
	return &table{[]string{"ID", "STATE", "INFO"}, rows}, nil
}

// countTagged answers whether a session shows the query of a run.
func (s *session) countTagged(_ context.Context, args []string) (*table, error) {
	count := 0
	for _, p := range s.db.processes() {
		if strconv.FormatUint(uint64(p.id), 10) == args[0] && strings.Contains(p.info, "gotimeout run="+args[1]+" ") {
			count++
		}
	}
	return row("COUNT(*)", count)
}

func (s *session) doNothing(context.Context, []string) (*table, error) { return nil, nil }

// process is the row of a session in the process list.
type process struct {
	id                        uint32
	host, schema, info, state string
	since                     time.Time
}

// processes returns the process list, the oldest connection first.
func (db *database) processes() []process {
	db.sessionsMu.Lock()
	defer db.sessionsMu.Unlock()
	var all []process
	for _, id := range slices.Sorted(maps.Keys(db.sessions)) {
		all = append(all, db.sessions[id].process())
	}
	return all
}

func (s *session) process() process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return process{id: s.id, host: s.host, schema: s.schema, info: s.info, state: s.state, since: s.since}
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}
