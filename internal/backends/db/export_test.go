package dbbackend

import "time"

// StartWith is Start with times that a test can shorten.
var StartWith = start

func ParseStatement(sql string) (text, run string, limit time.Duration) {
	st := parseStatement(sql)
	return st.text, st.run, st.limit
}
