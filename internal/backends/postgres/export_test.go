package postgresbackend

import (
	"net"
	"time"

	"gotimeout/internal/backends"
)

// Serve returns a func that serves one connection of a server, whose queries may take longest.
func Serve(s *backends.Server, longest time.Duration) func(net.Conn) {
	db := &database{Server: s, longest: longest, sessions: map[uint32]*session{}}
	return db.serve
}
