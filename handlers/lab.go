package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gotimeout/internal/machine"
	"gotimeout/internal/receipt"
	"gotimeout/slowops"
	"gotimeout/strategies"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

// Lab holds what the endpoints serve.
type Lab struct {
	Strategies []strategies.Strategy
	Ops        []Op // the first is the default
	Ledger     *receipt.Ledger
	MaxDelay   time.Duration
	MaxTimeout time.Duration
	// MaxConnections bounds the connections of clients; 0 is no bound.
	MaxConnections int
	Backends       func(ctx context.Context) []Backend // asks each backend whether it is ready
	Working        func() []Backend                    // the jobs of each backend, as far as the lab knows them without a request
	Network        Network                             // nil: there is no bad network
	Kernel         Kernel                              // nil: the system does not show its sockets
	Token          string                              // lets a caller from another machine change the network; "" is none
	Public         bool                                // limits the runs of each client; only the token changes the network
	Machine        machine.Machine                     // the machine that the lab runs on
	Started        time.Time
	Stopping       context.Context // ends the streams of events when it is done; nil never is
	Log            *slog.Logger

	// Hosts are the names that the lab answers for, besides addresses and localhost;
	// nil is every name.
	Hosts []string
	// TrustedProxies are the proxies whose X-Forwarded-For names the client of a
	// public lab.
	TrustedProxies []netip.Prefix
	LogSlow        time.Duration // a run with more overshoot is logged; 0 logs none
	Metrics        http.Handler  // nil: there is no /metrics
	Trace          Trace         // nil: no run is traced
	Queue          Queue         // nil: the ops of a strategy in the queue are made in this process
	// Outside begins the runs of the strategies whose ops are elsewhere, by the place. The
	// ops for a place without a func are made in this process.
	Outside map[strategies.Place]Outside

	own            ownRate
	connections    atomic.Int64
	refused        refusedLog
	parametersOnce sync.Once
	parameters     []string // of a run; allParameters returns them
}

// Op is slow work that can be asked for by name.
type Op struct {
	Name     string
	Doc      string   // one sentence for the page
	NoDelay  string   // why a delay can't be asked for, "" where it can
	Works    []string // what work= may be, the default first; nil where there is no choice
	Backends []string // what backend= may be, the default first; nil where there is no choice
	Targets  []Target // what target= may be; nil where there is no choice
	Params   []Param  // the parameters that other ops don't have
	TLS      bool     // the backend itself speaks TLS

	Own      *OwnCall // the own call that the op makes, or nil
	MakesOwn bool     // one of the op's several calls is an own call

	// Lacks gives the reason for each phase timeout that the op's client does not
	// have, by its parameter.
	Lacks map[string]string

	// Settings names what bounds a call, as a user of the client or of its backend sets
	// it, by the family of the strategies that do the same here.
	Settings map[strategies.Family]string
	// Timeouts are the phase timeouts that the backend's own setting names, by
	// their parameters. A strategy that bounds the client uses them for a run that
	// has none of its own.
	Timeouts map[string]time.Duration

	// Noun is the backend's name in a sentence, such as "the database"; "" if there
	// is none. Verbs says for each work what the backend did, such as "computed";
	// the default is "worked".
	Noun  string
	Verbs map[string]string

	First   bool                    // the page begins with it instead of the default op
	Settle  time.Duration           // how long its client may keep an idle connection
	Dials   bool                    // it uses connections
	Files   int                     // file descriptors of this process that a call needs, about
	Apart   bool                    // the op that calls all backends at once leaves it out
	Reports int                     // how many backends report their begin and end
	Seen    bool                    // all its backends report
	Busy    func(slowops.Call) bool // whether a call computes in this process; nil is never

	// Prepare, if set, is called before the run's clock starts. It must take no
	// longer than the constant Prepare. Its error is the run's error.
	Prepare func(context.Context, slowops.Call) error
	// Watch, if set, wraps a call that is made outside this process, so that the backend
	// is watched from here.
	Watch func(Part) Part
	// Parts are the calls of the op, which run at once.
	Parts []Part
}

// Param is a parameter that only some ops have. Its value is one of slowops.Call.Params.
type Param struct {
	Name   string
	Doc    string   // a phrase for the page
	Values []string // the default first
}

// Part makes one call.
type Part = func(context.Context, slowops.Call) error

// Target is a server with one fault, which takes the backend's place.
type Target struct {
	Name  string
	Doc   string // one sentence for the page
	TLS   bool
	Sound bool // it has no fault, to compare the others with
}

// Bounds are the bounds of the parts of a lab, from the innermost to the outermost. Each
// bound is longer than the one before it, so that the inner bound ends first and the
// answer can name it. With the bounds the wrong way round, a run that took too long had
// no answer at all.
type Bounds struct {
	Call     time.Duration // one call of a client, also a deaf call
	Run      time.Duration // a run: the preparation of its op, and its calls
	Answer   time.Duration // /compare and /race: their runs, and the work that these left behind
	Write    time.Duration // the server's timeout for a request and its answer
	Patience time.Duration // how long a client must wait to get every answer
}

// Prepare is how long the preparation of an op may take: room for ten round trips
// to a backend far away.
const Prepare = 10 * time.Second

// Bounds returns the bounds that follow from the caps. Work that computes may take
// several times its delay on processors that others use as well.
func (l *Lab) Bounds() Bounds {
	const room = 5 * time.Second // the time to notice the bound and to write the answer
	b := Bounds{Call: 4*l.MaxDelay + l.MaxTimeout}
	b.Run = Prepare + b.Call + room
	b.Answer = b.Run + room
	b.Write = b.Answer + room
	b.Patience = b.Write + room
	return b
}

// Routes returns the lab's endpoints.
func (l *Lab) Routes() http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.GetHead, plainHeaders, l.boundConnections, l.sameSite)
	if l.Public {
		r.Use(l.limitClients)
	}
	r.NotFound(l.notFound)
	r.MethodNotAllowed(wrongMethod)

	pages := r.With(middleware.Compress(5, "text/html")) // what a program reads stays as it is
	pages.Get("/", l.index)
	runs := r.With(l.traced()...)
	for _, s := range l.Strategies {
		runs.Get("/"+s.Name, l.run(s))
	}
	runs.Get("/compare", l.compare)
	runs.Get("/race", l.races())
	r.With(l.gated(l.maxListeners(), "listeners")).Get("/events", takes(newBroadcaster(l).serve))
	pages.With(l.gated(maxReaders, "readers")).Get("/receipts", l.receipts)
	pages.Get("/receipts/{id}", l.oneReceipt)
	r.Get("/jobs/{id}", takes(l.job))
	r.Get("/code/{strategy}", takes(l.code, "op"))
	r.Get("/docs/{page}", takes(l.docs))
	r.Get("/lab", takes(l.describe))
	r.Get("/backends", takes(l.backends))
	r.Get("/sockets", l.sockets)
	r.Get("/network", takes(l.network))
	r.Put("/network", l.changeNetwork)
	r.Delete("/network", l.changeNetwork)
	watches := r.With(l.gated(maxWatches, "watches"))
	watches.Get("/network/log", l.watching("application/x-ndjson", l.networkLog))
	watches.Get("/network/graph", l.watching("text/html; charset=utf-8", l.networkGraph))
	if l.Metrics != nil {
		r.Get("/metrics", takes(l.Metrics.ServeHTTP))
	}
	r.Get("/healthz", takes(healthz))
	r.Get("/readyz", takes(l.readyz))
	return r
}

// plainHeaders keeps answers out of caches, because each answer is a measurement.
func plainHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Cache-Control"], w.Header()["X-Content-Type-Options"] = noStore, noSniff
		next.ServeHTTP(w, r)
	})
}
