package dbbackend

import (
	"strconv"
	"strings"
	"time"

	"gotimeout/internal/backends"
)

// statement is an SQL text, reduced for comparison.
type statement struct {
	text  string        // without comments, whitespace folded, no ";" at the end
	run   string        // the tag of the run, or ""
	limit time.Duration // of the hint MAX_EXECUTION_TIME, or 0
}

func parseStatement(sql string) statement {
	var st statement
	var text strings.Builder
	for len(sql) > 0 {
		n, comment := nextToken(sql)
		token := sql[:n]
		sql = sql[n:]
		if code, ok := executable(token); ok {
			sql = code + " " + sql
			continue
		}
		if !comment {
			text.WriteString(token)
			continue
		}
		if run := backends.RunTag(token); run != "" {
			st.run = run
		}
		if strings.EqualFold(strings.TrimSpace(text.String()), "SELECT") {
			st.limit = max(st.limit, executionTime(token))
		}
		text.WriteByte(' ') // a comment separates words, as whitespace does
	}
	st.text = strings.TrimRight(strings.Join(strings.Fields(text.String()), " "), "; ")
	return st
}

// nextToken returns the length of the first token of sql: a comment, a quoted string, or any other byte. A comment or string that
// is not closed reaches to the end of sql.
func nextToken(sql string) (n int, comment bool) {
	switch {
	case strings.HasPrefix(sql, "/*"):
		return endOf(sql, 2, "*/"), true
	case strings.HasPrefix(sql, "-- "), strings.HasPrefix(sql, "--\n"), sql[0] == '#':
		return endOf(sql, 1, "\n"), true
	case sql[0] == '\'' || sql[0] == '"' || sql[0] == '`':
		for i := 1; i < len(sql); i++ {
			if sql[i] == '\\' && sql[0] != '`' {
				i++
			} else if sql[i] == sql[0] {
				return i + 1, false
			}
		}
		return len(sql), false
	}
	return 1, false
}

// executable returns the code in a comment of the form /*!80000 code */, which MySQL executes if it is of that version or a
// later one.
func executable(token string) (code string, ok bool) {
	code, ok = strings.CutPrefix(token, "/*!")
	if !ok {
		return "", false
	}
	digits := len(code) - len(strings.TrimLeft(code, "0123456789"))
	version, _ := strconv.Atoi(code[:digits])
	return strings.TrimSuffix(code[digits:], "*/"), version <= dbVersionNumber
}

// endOf returns the index after the first end in sql at or after from, or the length of sql.
func endOf(sql string, from int, end string) int {
	i := strings.Index(sql[from:], end)
	if i < 0 {
		return len(sql)
	}
	return from + i + len(end)
}

// executionTime returns the limit of an optimizer hint "/*+ MAX_EXECUTION_TIME(ms) */", or 0.
func executionTime(comment string) time.Duration {
	hint, ok := strings.CutPrefix(comment, "/*+")
	if !ok {
		return 0
	}
	_, rest, _ := strings.Cut(strings.ToUpper(hint), "MAX_EXECUTION_TIME(")
	number, _, _ := strings.Cut(rest, ")")
	ms, err := strconv.ParseUint(strings.TrimSpace(number), 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}
