package dbbackend

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"

	"gotimeout/internal/backends"
)

// form is a statement that the database understands.
type form struct {
	help    string // as the client may write it
	pattern *regexp.Regexp
	do      func(s *session, ctx context.Context, args []string) (*mysql.Result, error)
}

// dialect is all of the SQL that the database understands, in the order of the sentence that lists it.
var dialect = []form{
	{"SELECT 1", fold(`SELECT (-?\d+)`), (*session).selectNumber},
	{"SELECT SLEEP(seconds)", fold(`SELECT SLEEP ?\( ?([\d.]+) ?\)`), (*session).selectSleep},
	{"SELECT BENCHMARK(rounds, expression)", fold(`SELECT BENCHMARK ?\( ?(\d+) ?,.+\)`), (*session).selectBenchmark},
	{"SELECT CONNECTION_ID()", fold(`SELECT CONNECTION_ID ?\( ?\)`), (*session).selectConnectionID},
	{"SELECT VERSION()", fold(`SELECT VERSION ?\( ?\)`), (*session).selectVersion},
	{"SET ...", fold(`SET .+`), (*session).set},
	{"KILL [QUERY|CONNECTION] id", fold(`KILL (?:(QUERY|CONNECTION) )?(\d+)`), (*session).killOther},
	{"SHOW [FULL] PROCESSLIST", fold(`SHOW (FULL )?PROCESSLIST`), (*session).showProcesslist},
	{lookSQL, fold(regexp.QuoteMeta(lookSQL)), (*session).selectTagged},
}

// fold compiles a pattern that a whole statement must match, in any case.
func fold(pattern string) *regexp.Regexp { return regexp.MustCompile(`(?is)^` + pattern + `$`) }

// run carries out a statement, or refuses it with error 1064 and the list of what would do.
func (s *session) run(ctx context.Context, text string) (*mysql.Result, error) {
	for _, f := range dialect {
		if args := f.pattern.FindStringSubmatch(text); args != nil {
			return f.do(s, ctx, args[1:])
		}
	}
	var known []string
	for _, f := range dialect {
		known = append(known, f.help)
	}
	return nil, mysql.NewError(mysql.ER_PARSE_ERROR,
		fmt.Sprintf("This database understands only: %s; not %.80q", strings.Join(known, "; "), text))
}

// row answers a table of one row with one column.
func row(column string, value any) (*mysql.Result, error) {
	return table([]string{column}, [][]any{{value}})
}

func table(columns []string, rows [][]any) (*mysql.Result, error) {
	r, err := mysql.BuildSimpleTextResultset(columns, rows)
	if err != nil {
		return nil, err
	}
	return mysql.NewResult(r), nil
}

func (s *session) selectNumber(_ context.Context, args []string) (*mysql.Result, error) {
	n, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return nil, mysql.NewError(mysql.ER_PARSE_ERROR, "This database's integers have 64 bits")
	}
	return row(args[0], n)
}

func (s *session) selectConnectionID(context.Context, []string) (*mysql.Result, error) {
	return row("CONNECTION_ID()", s.id)
}

func (s *session) selectVersion(context.Context, []string) (*mysql.Result, error) {
	return row("VERSION()", dbVersion)
}

// set accepts any variable and remembers none: clients set the character set and the like when they connect.
func (s *session) set(context.Context, []string) (*mysql.Result, error) { return nil, nil }

// killOther interrupts the query of a connection, and closes the connection unless only the query is meant.
func (s *session) killOther(ctx context.Context, args []string) (*mysql.Result, error) {
	id, err := strconv.ParseUint(args[1], 10, 32)
	victim := s.db.session(uint32(id))
	if err != nil || victim == nil {
		return nil, mysql.NewError(mysql.ER_NO_SUCH_THREAD, "Unknown thread id: "+args[1])
	}
	victim.interrupt()
	if !strings.EqualFold(args[0], "QUERY") {
		victim.client.Conn.(*backends.Conn).Cut()
	}
	if ctx.Err() != nil { // it killed itself
		return nil, interruption(ctx)
	}
	return nil, nil
}
