package handlers

import (
	"fmt"
	"net/http"
	"sync"
)

// How many answers of a kind a lab gives at once. Each is long or large, and a client that
// does not read makes it last.
const (
	maxListeners = 1000
	maxRaces     = 32
	maxReaders   = 64 // of lists of receipts
	maxWatches   = 8  // of the network, whose packets wait for each
)

// maxListeners is how many listeners the lab has at once: half of the connections at most, so that others have
// the other half.
func (l *Lab) maxListeners() int {
	if l.MaxConnections == 0 {
		return maxListeners
	}
	return min(maxListeners, max(1, l.MaxConnections/2))
}

// gate bounds the requests that are answered at once, in all and for one client of a
// public lab.
type gate struct {
	most int

	mu   sync.Mutex
	open int
	of   map[string]int
}

// enter reports whether one more may be answered, for all and for this client; the client
// "" has no share. If both are true, leave must be called.
func (g *gate) enter(client string) (free, withinShare bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	free, withinShare = g.open < g.most, client == "" || g.of[client] < max(1, g.most/4)
	if free && withinShare {
		g.open++
		g.of[client]++
	}
	return free, withinShare
}

func (g *gate) leave(client string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if g.of[client]--; g.of[client] == 0 {
		delete(g.of, client)
	}
}

// gated returns a middleware that lets that many requests through at once. what names them.
func (l *Lab) gated(most int, what string) func(http.Handler) http.Handler {
	g := &gate{most: most, of: map[string]int{}}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			client := l.clientOf(r.Context())
			switch free, withinShare := g.enter(client); {
			case !withinShare:
				w.Header().Set("Retry-After", "1")
				refuse(w, r, http.StatusTooManyRequests, "over_share", fmt.Sprintf(
					"this lab is public, and you have %d %s, a quarter of what it allows to all: end some of them", max(1, most/4), what))
			case !free:
				w.Header().Set("Retry-After", "1")
				refuse(w, r, http.StatusServiceUnavailable, "too_many_"+what, fmt.Sprintf(
					"this lab has %d %s, the most that it allows: try again later", most, what))
			default:
				defer g.leave(client)
				next.ServeHTTP(w, r)
			}
		})
	}
}
