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
	maxReaders   = 64 // of lists of receipts
	maxWatches   = 8  // of the network, whose packets wait for each
)

// maxRaced is how many runs the races have that go on at once: a client's share of a public lab is the largest race.
func (l *Lab) maxRaced() int { return 4 * maxTimes * len(l.Strategies) }

// maxListeners is how many listeners the lab has at once: half of the connections at most, so that others have
// the other half.
func (l *Lab) maxListeners() int {
	if l.MaxConnections == 0 {
		return maxListeners
	}
	return min(maxListeners, max(1, l.MaxConnections/2))
}

// gate bounds what is answered at once, in all and for one client of a public lab.
type gate struct {
	most       int
	kind, what string // for the code of a refusal, and for its sentence

	mu   sync.Mutex
	open int
	of   map[string]int
}

func newGate(most int, kind, what string) *gate {
	return &gate{most: most, kind: kind, what: what, of: map[string]int{}}
}

// enter reports whether n more may be answered, for all and for this client; the client
// "" has no share. If both are true, leave must be called.
func (g *gate) enter(client string, n int) (free, withinShare bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	free, withinShare = g.open+n <= g.most, client == "" || g.of[client]+n <= g.share()
	if free && withinShare {
		g.open += n
		g.of[client] += n
	}
	return free, withinShare
}

func (g *gate) share() int { return max(1, g.most/4) }

func (g *gate) leave(client string, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open -= n
	if g.of[client] -= n; g.of[client] == 0 {
		delete(g.of, client)
	}
}

// pass has a request answered that counts as n, or refuses it.
func (l *Lab) pass(g *gate, n int, w http.ResponseWriter, r *http.Request, answer func()) {
	client := l.clientOf(r.Context())
	switch free, withinShare := g.enter(client, n); {
	case !withinShare:
		w.Header().Set("Retry-After", "1")
		refuse(w, r, http.StatusTooManyRequests, "over_share", fmt.Sprintf(
			"this lab is public, and one client may have %d %s at once, a quarter of all: end some of yours", g.share(), g.what))
	case !free:
		w.Header().Set("Retry-After", "1")
		refuse(w, r, http.StatusServiceUnavailable, "too_many_"+g.kind, fmt.Sprintf(
			"this lab may have %d %s at once, and has no room for %d more: try again later", g.most, g.what, n))
	default:
		defer g.leave(client, n)
		answer()
	}
}

// gated returns a middleware that lets that many requests through at once. what names them.
func (l *Lab) gated(most int, what string) func(http.Handler) http.Handler {
	g := newGate(most, what, what)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			l.pass(g, 1, w, r, func() { next.ServeHTTP(w, r) })
		})
	}
}
