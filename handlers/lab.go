package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"gotimeout/internal/machine"
	"gotimeout/internal/receipt"
	"gotimeout/strategies"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

// Lab is what the endpoints serve.
type Lab struct {
	Strategies []strategies.Strategy
	Ops        []Op // the first is the default
	Ledger     *receipt.Ledger
	MaxDelay   time.Duration
	MaxTimeout time.Duration
	Backends   func(ctx context.Context) []Backend // asks each backend how it is
	Working    func() []Backend                    // what each is working on, as far as it is seen without asking it
	Network    Network                             // nil: nothing lies between
	Kernel     Kernel                              // nil: it doesn\'t show its sockets
	Token      string                              // lets others than this machine change the network; "" lets nobody
	Public     bool                                // each client has its share of runs, and only the token changes the network
	Machine    machine.Machine                     // that this runs on
	Started    time.Time
	Stopping   context.Context // ends the streams of events when it is done; nil never is
	Log        *slog.Logger

	// TrustedProxies are those whose X-Forwarded-For says who a client of a
	// public lab is.
	TrustedProxies []netip.Prefix
	LogSlow        time.Duration // answers that come later than this after their timeout are logged; 0 is none
	Metrics        http.Handler  // nil: there is no /metrics
	Trace          Trace         // nil: no run is traced
}

// Op is slow work that can be asked for by name.
type Op struct {
	Name     string
	Doc      string   // one sentence for the page
	NoDelay  string   // why a delay can't be asked for, "" where it can
	Works    []string // what work= may be, the default first; nil where there is no choice
	Backends []string // what backend= may be, the default first; nil where there is no choice
	Targets  []Target // what target= may be; nil where there is no choice
	TLS      bool     // the backend that no target takes the place of speaks TLS

	// Lacks says of each timeout of a phase that the op's client has not, by
	// its parameter, why.
	Lacks map[string]string

	Dials   bool            // it uses connections
	Reports int             // how many backends report when they began and stopped
	Seen    bool            // all its backends report
	Busy    func(Call) bool // whether a call computes in this process; nil is never

	// Prepare is called before the run's clock starts, where it is set. Its
	// error is the run's.
	Prepare func(context.Context, Call) error
	// Parts make the calls of the op, which run at once.
	Parts []func(Call) strategies.Op
}

// Target is a server with a fault of its own, in the place of a backend.
type Target struct {
	Name  string
	Doc   string // one sentence for the page
	TLS   bool
	Sound bool // it has no fault
}

// Call is one call of an op.
type Call struct {
	Delay       time.Duration
	Deaf        bool // the op ignores its context
	DeafBackend bool // the backend ignores the client's disconnect
	Work        string
	Run         string        // the receipt's ID, by which a backend reports
	Traceparent string        // of the call's span, for the backend; "" without one
	IOTimeout   time.Duration // for the client's own timeouts, where over 0

	// For the client's timeouts of phases, where over 0.
	ConnectTimeout, TLSTimeout, HeaderTimeout, ReadTimeout time.Duration

	Target               string        // "" is the backend itself
	Limit                time.Duration // ends even a deaf call; far beyond every timeout
	Dialed, Reused, Kept func()        // tell the receipt of connections
	Closed               func(how string, local, remote netip.AddrPort)
	Phase                func(op, name string) (end func(error))
	Outlived             func(remedy string) // tells the receipt of a dial that outlived the call
}

// Longest bounds every run and every wait for one. Work that computes may take
// several times its delay on processors that others use as well.
func (l *Lab) Longest() time.Duration { return 4*l.MaxDelay + l.MaxTimeout }

// Routes returns the lab's endpoints.
func (l *Lab) Routes() http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.GetHead, plainHeaders)
	if l.Public {
		r.Use(l.limited)
	}
	r.NotFound(l.notFound)
	r.MethodNotAllowed(wrongMethod)

	r.Get("/", l.index)
	runs := r.With(l.traced()...)
	for _, s := range l.Strategies {
		runs.Get("/"+s.Name, l.run(s))
	}
	runs.Get("/compare", l.compare)
	runs.Get("/race", l.race)
	r.Get("/events", newGauges(l).serve)
	r.Get("/receipts", l.receipts)
	r.Get("/receipts/{id}", l.oneReceipt)
	r.Get("/lab", l.facts)
	r.Get("/backends", l.backends)
	r.Get("/sockets", l.sockets)
	r.Get("/network", l.network)
	r.Put("/network", l.changeNetwork)
	r.Delete("/network", l.changeNetwork)
	if l.Metrics != nil {
		r.Method(http.MethodGet, "/metrics", l.Metrics)
	}
	r.Get("/healthz", healthz)
	r.Get("/readyz", l.readyz)
	return r
}

// plainHeaders keeps answers out of caches: each is a measurement.
func plainHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}
