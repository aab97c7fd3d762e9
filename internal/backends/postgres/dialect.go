package postgresbackend

import (
	"context"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"gotimeout/internal/backends"
)

// column is a column of a statement's rows.
type column struct {
	name string
	oid  uint32
}

// The types of columns, by PostgreSQL's numbers.
const (
	boolean = 16
	integer = 23
	text    = 25
	void    = 2278
)

// form is a statement that the database understands.
type form struct {
	help    string // the statement as a client may write it
	pattern *regexp.Regexp
	columns []column // nil for a statement without rows
	do      func(s *session, ctx context.Context, args []string) (rows [][]any, err error)
}

// dialect has every statement that the database understands, in the order of the error that lists them.
var dialect = sync.OnceValue(func() []form {
	return []form{
		{"SELECT 1", fold(`SELECT (-?\d+)`), []column{{"?column?", integer}}, (*session).selectNumber},
		{"SELECT pg_sleep(seconds)", fold(`SELECT pg_sleep ?\( ?([\d.]+) ?\)`), []column{{"pg_sleep", void}}, (*session).sleep},
		{"SELECT 1 FROM pg_sleep(seconds)", fold(`SELECT (-?\d+) FROM pg_sleep ?\( ?([\d.]+) ?\)`), []column{{"?column?", integer}}, (*session).selectSleep},
		{"DO with a loop until clock_timestamp() + interval 'seconds s', as the lab sends it", fold(`DO \$\$ DECLARE over timestamptz := clock_timestamp\(\) \+ interval '([\d.]+) s'; ` +
			`BEGIN WHILE clock_timestamp\(\) < over LOOP END LOOP; END \$\$`), nil, (*session).compute},
		{"SELECT pg_backend_pid()", fold(`SELECT pg_backend_pid ?\( ?\)`), []column{{"pg_backend_pid", integer}}, (*session).backendPID},
		{"SELECT pg_cancel_backend(pid)", fold(`SELECT (pg_cancel_backend) ?\( ?(\d+) ?\)`), []column{{"pg_cancel_backend", boolean}}, (*session).signal},
		{"SELECT pg_terminate_backend(pid)", fold(`SELECT (pg_terminate_backend) ?\( ?(\d+) ?\)`), []column{{"pg_terminate_backend", boolean}}, (*session).signal},
		{"SELECT version()", fold(`SELECT version ?\( ?\)`), []column{{"version", text}}, (*session).selectVersion},
		{"SELECT pid, state, query FROM pg_stat_activity", fold(`SELECT pid, state, query FROM pg_stat_activity`),
			[]column{{"pid", integer}, {"state", text}, {"query", text}}, (*session).activity},
		{lookSQL, fold(regexp.QuoteMeta(lookSQL)), []column{{"pid", integer}, {"query", text}}, (*session).tagged},
		{"SET [SESSION|LOCAL] statement_timeout = value", fold(`SET (?:(SESSION|LOCAL) )?statement_timeout(?: ?= ?| TO )(.+)`), nil, (*session).setTimeout},
		{"SHOW statement_timeout", fold(`SHOW statement_timeout`), []column{{"statement_timeout", text}}, (*session).showTimeout},
		{"SET TRANSACTION READ ONLY", fold(`SET TRANSACTION READ ONLY`), nil, (*session).nothing}, // there is nothing to write to
		{"SET application_name, client_encoding, DateStyle, extra_float_digits, search_path or TimeZone",
			fold(`SET (?:SESSION )?(?:application_name|client_encoding|datestyle|extra_float_digits|search_path|time ?zone)\b.+`), nil, (*session).nothing},
		{"BEGIN", fold(`(BEGIN|START TRANSACTION)(?: .+)?`), nil, (*session).transaction},
		{"COMMIT", fold(`(COMMIT|END)(?: .+)?`), nil, (*session).transaction},
		{"ROLLBACK", fold(`(ROLLBACK)(?: .+)?`), nil, (*session).transaction},
	}
})

// fold compiles a pattern that a whole statement must match, in any case.
func fold(pattern string) *regexp.Regexp { return regexp.MustCompile(`(?is)^` + pattern + `$`) }

var comment = regexp.MustCompile(`(?s)/\*.*?\*/|--[^\n]*`)

// bare returns a statement without comments, its whitespace folded, without the ";" at its end.
func bare(sql string) string {
	sql = comment.ReplaceAllString(sql, " ")
	return strings.TrimRight(strings.Join(strings.Fields(sql), " "), "; ")
}

// split returns the statements of a text. A ";" between $$ and $$ separates none.
func split(sql string) (all []string) {
	for i, part := range strings.Split(comment.ReplaceAllString(sql, " "), "$$") {
		pieces := []string{part}
		if i%2 == 0 {
			pieces = strings.Split(part, ";")
		}
		if i > 0 {
			all[len(all)-1] += "$$" + pieces[0]
			pieces = pieces[1:]
		}
		all = append(all, pieces...)
	}
	statements := all[:0]
	for _, text := range all {
		if text = bare(text); text != "" {
			statements = append(statements, text)
		}
	}
	return statements
}

// find returns the form of a statement, which is bare. The empty one has a form without rows.
func (s *session) find(statement string) (of form, args []string, err error) {
	if statement == "" {
		return form{}, nil, nil
	}
	var known []string
	for _, f := range dialect() {
		if args := f.pattern.FindStringSubmatch(statement); args != nil {
			return f, args[1:], nil
		}
		known = append(known, f.help)
	}
	return of, nil, &pgError{"0A000", fmt.Sprintf("this database understands only: %s; not %.80q", strings.Join(known, "; "), statement)}
}

// run carries out a statement, within statement_timeout.
func (s *session) run(ctx context.Context, statement string) (r result, err error) {
	if r.form, r.args, err = s.find(statement); err != nil {
		return r, s.fail(err)
	}
	ends := strings.HasPrefix(r.form.help, "COMMIT") || strings.HasPrefix(r.form.help, "ROLLBACK")
	if s.status == 'E' && !ends {
		return r, errAborted
	}
	limit := s.timeout
	if s.local != nil {
		limit = *s.local
	}
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, errTimedOut)
		defer cancel()
	}
	r.tag, _, _ = strings.Cut(strings.ToUpper(statement), " ")
	if r.rows, err = r.form.do(s, ctx, r.args); err != nil {
		return r, s.fail(err)
	}
	return r, nil
}

// fail makes the transaction, if there is one, a failed one.
func (s *session) fail(err error) error {
	if s.status == 'T' {
		s.status = 'E'
	}
	return err
}

// result is the result of a statement.
type result struct {
	form form
	args []string
	rows [][]any
	tag  string
}

// describe sends the columns, in the formats that the client asked for: 0 is text, and 1 is binary.
func (r result) describe(wire *pgproto3.Backend, formats []int16) {
	if r.form.columns == nil {
		return
	}
	var fields []pgproto3.FieldDescription
	for i, c := range r.form.columns {
		size := map[uint32]int16{boolean: 1, integer: 4, void: 4, text: -1}[c.oid]
		fields = append(fields, pgproto3.FieldDescription{Name: []byte(c.name), DataTypeOID: c.oid, DataTypeSize: size, TypeModifier: -1, Format: format(formats, i)})
	}
	wire.Send(&pgproto3.RowDescription{Fields: fields})
}

func (r result) send(wire *pgproto3.Backend, formats []int16) {
	for _, row := range r.rows {
		var values [][]byte
		for i, v := range row {
			values = append(values, encode(v, format(formats, i) == 1))
		}
		wire.Send(&pgproto3.DataRow{Values: values})
	}
	tag := r.tag
	if r.form.columns != nil && tag == "SELECT" {
		tag += " " + strconv.Itoa(len(r.rows))
	}
	wire.Send(&pgproto3.CommandComplete{CommandTag: []byte(tag)})
}

// format returns the format of a column: one format may be meant for all.
func format(formats []int16, column int) int16 {
	switch {
	case len(formats) == 1:
		return formats[0]
	case column < len(formats):
		return formats[column]
	}
	return 0
}

func encode(v any, inBinary bool) []byte {
	switch v := v.(type) {
	case int32:
		if inBinary {
			return binary.BigEndian.AppendUint32(nil, uint32(v))
		}
		return strconv.AppendInt(nil, int64(v), 10)
	case bool:
		switch {
		case inBinary && v:
			return []byte{1}
		case inBinary:
			return []byte{0}
		}
		return []byte(strconv.FormatBool(v)[:1])
	}
	return fmt.Append(nil, v)
}

func one(v any) ([][]any, error) { return [][]any{{v}}, nil }

func (s *session) nothing(context.Context, []string) ([][]any, error) { return nil, nil }

func (s *session) selectNumber(_ context.Context, args []string) ([][]any, error) {
	n, err := strconv.ParseInt(args[0], 10, 32)
	if err != nil {
		return nil, &pgError{"22003", "integer out of range"}
	}
	return one(int32(n))
}

func (s *session) selectVersion(context.Context, []string) ([][]any, error) {
	return one("PostgreSQL " + version)
}

func (s *session) backendPID(context.Context, []string) ([][]any, error) { return one(int32(s.pid)) }

// sleep never checks whether its client is still there.
func (s *session) sleep(ctx context.Context, args []string) ([][]any, error) {
	d, err := backends.ParseDelay(args[0], s.db.longest)
	if err != nil {
		return nil, &pgError{"22023", err.Error()}
	}
	if backends.Pause(ctx, d) != nil {
		return nil, interruption(ctx)
	}
	return one("")
}

func (s *session) selectSleep(ctx context.Context, args []string) ([][]any, error) {
	if _, err := s.sleep(ctx, args[1:]); err != nil {
		return nil, err
	}
	return s.selectNumber(ctx, args)
}

// compute computes for a time.
func (s *session) compute(ctx context.Context, args []string) ([][]any, error) {
	d, err := backends.ParseDelay(args[0], s.db.longest)
	if err != nil {
		return nil, &pgError{"22023", err.Error()}
	}
	const between = 1024 // rounds between two looks at the clock: a tenth of a millisecond
	var sum [md5.Size]byte
	for over := time.Now().Add(d); time.Now().Before(over); {
		if ctx.Err() != nil {
			return nil, interruption(ctx)
		}
		for range between {
			sum = md5.Sum(sum[:])
		}
		runtime.Gosched() // gives the lab its turn: a real server would not occupy the lab's processors
	}
	return nil, nil
}

// signal ends the query of another session, or of this one, and closes the connection unless only the query is meant.
func (s *session) signal(ctx context.Context, args []string) ([][]any, error) {
	pid, err := strconv.ParseUint(args[1], 10, 32)
	victim := s.db.session(uint32(pid))
	if err != nil || victim == nil {
		return one(false)
	}
	if strings.EqualFold(args[0], "pg_cancel_backend") {
		victim.end(errCancelled)
	} else {
		victim.end(errTerminated)
		victim.conn.(interface{ Cut() }).Cut()
	}
	if ctx.Err() != nil {
		return nil, interruption(ctx)
	}
	return one(true)
}

func (s *session) setTimeout(_ context.Context, args []string) ([][]any, error) {
	d, err := parseTimeout(args[1])
	switch {
	case err != nil:
		return nil, err
	case strings.EqualFold(args[0], "LOCAL"):
		s.local = &d
	default:
		s.timeout, s.local = d, nil
	}
	return nil, nil
}

func (s *session) showTimeout(context.Context, []string) ([][]any, error) {
	d := s.timeout
	if s.local != nil {
		d = *s.local
	}
	if d == 0 {
		return one("0")
	}
	return one(strconv.FormatInt(d.Milliseconds(), 10) + "ms")
}

var timeoutValue = regexp.MustCompile(`(?i)^'? ?(\d+) ?(ms|s|min|h|d)? ?'?$`)

// parseTimeout reads a value of statement_timeout: milliseconds, or a number with a unit.
func parseTimeout(value string) (time.Duration, error) {
	if strings.EqualFold(value, "DEFAULT") {
		return 0, nil
	}
	parts := timeoutValue.FindStringSubmatch(value)
	if parts == nil {
		return 0, &pgError{"22023", fmt.Sprintf("invalid value for parameter \"statement_timeout\": %.40q", value)}
	}
	n, err := strconv.ParseInt(parts[1], 10, 32)
	if err != nil {
		return 0, &pgError{"22023", fmt.Sprintf("%.40s is outside the valid range for parameter \"statement_timeout\"", value)}
	}
	unit := map[string]time.Duration{"": time.Millisecond, "ms": time.Millisecond, "s": time.Second, "min": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	return time.Duration(n) * unit[strings.ToLower(parts[2])], nil
}

// transaction begins or ends a transaction, in which nothing can be changed.
func (s *session) transaction(_ context.Context, args []string) ([][]any, error) {
	switch strings.ToUpper(args[0]) {
	case "BEGIN", "START TRANSACTION":
		s.status = 'T'
	default:
		s.status, s.local = 'I', nil
	}
	return nil, nil
}

// activity answers for each session, as pg_stat_activity has it.
func (s *session) activity(context.Context, []string) (rows [][]any, err error) {
	for _, other := range s.db.all() {
		query, active := other.process()
		rows = append(rows, []any{int32(other.pid), map[bool]string{true: "active", false: "idle"}[active], query})
	}
	return rows, nil
}

// tagged answers the query that [Look] sends.
func (s *session) tagged(context.Context, []string) (rows [][]any, err error) {
	for _, other := range s.db.all() {
		if query, active := other.process(); active && other != s && backends.RunTag(query) != "" {
			rows = append(rows, []any{int32(other.pid), query})
		}
	}
	return rows, nil
}
