package dbbackend

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// limits are those of a session for the time that a statement may take: MySQL's for a SELECT, and MariaDB's for each
// statement. The database has both, so that a lab's statements for either server can be tried on it. 0 is no limit.
type limits struct {
	execution time.Duration // max_execution_time, in milliseconds: error 3024
	statement time.Duration // max_statement_time, in seconds: error 1969
}

var setStatement = fold(`SET STATEMENT (.+?) FOR (.+)`)

// of returns the text of a statement and its limits: those of the session, or of MySQL's hint, or of MariaDB's SET STATEMENT.
func (l limits) of(st statement) (text string, _ limits, err error) {
	text = st.text
	if set := setStatement.FindStringSubmatch(text); set != nil {
		text = set[2]
		for assignment := range strings.SplitSeq(set[1], ",") {
			if err := l.assign(assignment); err != nil {
				return "", l, err
			}
		}
	}
	if st.limit > 0 {
		l.execution = st.limit
	}
	if !strings.HasPrefix(strings.ToUpper(text), "SELECT") {
		l.execution = 0
	}
	return text, l, nil
}

// bound returns the context of a statement with these limits.
func (l limits) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, execution := within(ctx, l.execution, errQueryTimeout)
	ctx, statement := within(ctx, l.statement, errStatementTimeout)
	return ctx, func() { statement(); execution() }
}

func within(ctx context.Context, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	if d == 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, d, cause)
}

// assignment is an assignment of SET, of which the name and the value count.
var assignment = regexp.MustCompile(`(?i)^\s*(?:(GLOBAL|PERSIST|SESSION|LOCAL)\s+|@@(?:(global|persist|session|local)\.)?)?(max_(?:execution|statement)_time)\s*:?=\s*(.+?)\s*$`)

// assign carries out an assignment of SET. It ignores each variable that is no limit: clients set the character set and the
// like when they connect.
func (l *limits) assign(text string) error {
	parts := assignment.FindStringSubmatch(text)
	if parts == nil {
		return nil
	}
	scope, name, value := strings.ToUpper(parts[1]+parts[2]), strings.ToLower(parts[3]), parts[4]
	if scope == "GLOBAL" || scope == "PERSIST" {
		return mysql.NewDefaultError(mysql.ER_SPECIFIC_ACCESS_DENIED_ERROR, "SUPER or SYSTEM_VARIABLES_ADMIN")
	}
	to, unit := &l.execution, time.Millisecond
	if name == "max_statement_time" {
		to, unit = &l.statement, time.Second
	}
	n, err := strconv.ParseFloat(value, 64)
	switch {
	case strings.EqualFold(value, "DEFAULT"):
		n = 0
	case err != nil, unit == time.Millisecond && strings.Contains(value, "."):
		return mysql.NewDefaultError(mysql.ER_WRONG_TYPE_FOR_VAR, name)
	case !(n >= 0 && n <= 31536000*float64(time.Second/unit)): // a year, which is MariaDB's maximum; also true of NaN
		return mysql.NewError(mysql.ER_WRONG_VALUE_FOR_VAR, fmt.Sprintf("Variable '%s' can't be set to the value of '%.40s'", name, value))
	}
	*to = time.Duration(n * float64(unit))
	return nil
}

var autocommit = regexp.MustCompile(`(?i)\bautocommit\s*:?=\s*(\w+)`)

// set carries out SET. Its limits hold from the next statement on.
func (s *session) set(_ context.Context, args []string) (*table, error) {
	l := s.limits
	for assignment := range strings.SplitSeq(args[0], ",") {
		if err := l.assign(assignment); err != nil {
			return nil, err
		}
	}
	s.limits = l
	switch on := autocommit.FindStringSubmatch(args[0]); {
	case on == nil:
	case on[1] == "0" || strings.EqualFold(on[1], "off"):
		s.conn.UnsetStatus(mysql.SERVER_STATUS_AUTOCOMMIT)
	default:
		s.conn.SetStatus(mysql.SERVER_STATUS_AUTOCOMMIT)
	}
	return nil, nil
}
