package httpbackend

import (
	"net"
	"net/http"
	"time"

	"gotimeout/internal/backends"
)

// Converse serves one connection of the target ok, which may take longest.
func Converse(s *backends.Server, longest time.Duration, c net.Conn) {
	converse(s, "ok", backends.Options{MaxDelay: longest}, c, (*exchange).ok)
}

// DeafDelay serves /deaf/delay/{duration}, of at most longest.
func DeafDelay(s *backends.Server, longest time.Duration) func(w http.ResponseWriter, r *http.Request, duration string) {
	return deafDelay(s, longest)
}
