package dbbackend

import (
	"time"

	"gotimeout/internal/backends"
)

// StartWith is Start with times that a test can shorten.
func StartWith(o backends.Options, poll, handshake time.Duration) (*backends.Server, error) {
	return start(o, 0, poll, handshake)
}

func ParseStatement(sql string) (text, run string, limit time.Duration) {
	st := parseStatement(sql)
	return st.text, st.run, st.limit
}
