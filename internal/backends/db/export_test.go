package dbbackend

import (
	"net"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/server"

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

// Serve returns a func that serves one connection of a server, whose queries may take longest.
func Serve(s *backends.Server, longest time.Duration) func(net.Conn) {
	db := &database{
		Server: s, protocol: server.NewServerWithAuth(dbVersion, mysql.DEFAULT_COLLATION_ID, mysql.AUTH_NATIVE_PASSWORD, nil, nil, login{}),
		longest: longest, poll: longest, handshake: longest, sessions: map[uint32]*session{},
	}
	return db.serve
}
