package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/backends"
	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/live"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/jobs"
	"gotimeout/internal/machine"
	"gotimeout/internal/receipt"
	"gotimeout/internal/telemetry"
	"gotimeout/slowops"
	"gotimeout/strategies"

	"golang.org/x/sync/singleflight"
)

// Settings are the settings of a lab.
type Settings struct {
	Ops     []Op   // the ops whose settings were read; nil is every op, with its stand-in
	OwnName string // the name of the one own call; "" is the name that its op gives it

	Network *live.Network  // the network between the ops and their backends; nil is none. The lab closes it
	Profile badnet.Profile // the profile of the network when the lab begins to serve

	NATSURL string // the NATS cluster of the queue; "" is a server in this process
	Data    string // the directory of that server's files; "" is a temporary one

	Collector *telemetry.Collector // the collector of traces; nil is none
	Dial      telemetry.Dial       // dials the collector; nil is net.Dial

	MaxDelay, MaxTimeout      time.Duration
	MaxInFlight, MaxAbandoned int
	Receipts                  int // how many receipts the lab keeps
	LogSlow                   time.Duration

	Public         bool
	TrustedProxies []netip.Prefix
	Hosts          []string // the names that the lab answers for, besides addresses and localhost; nil is every name
	Token          string
}

// Servers are the real servers that the ops and the telemetry connect to.
func (s Settings) Servers() (all []private.Server) {
	for _, op := range s.Ops {
		if server := op.server(); server != nil {
			all = append(all, *server)
		}
	}
	all = append(all, natsServers(s.NATSURL)...)
	if s.Collector != nil {
		all = append(all, private.Server{Network: "tcp", Addr: s.Collector.Addr})
	}
	return all
}

// Lab is an open lab.
type Lab struct {
	*handlers.Lab

	settings Settings
	network  *live.Network
	backends []*backend
	parent   []standIn     // in a child, the backends of its parent
	kernel   *kernel       // nil where the system doesn't show its sockets
	pools    []pool        // of the ops
	held     int           // descriptors that the ops need beside those of their pools, about
	looking  chan struct{} // has an element for each look at a backend that goes on
	checks   singleflight.Group
	life     context.Context // of the programs of calls
	programs sync.RWMutex    // each has it for reading
	closes   []func()
}

// Open opens a lab: it starts the stand-ins and makes the clients. It doesn't connect to
// real servers, so that a lab opens also while a server is down. The end of ctx ends the
// lab's streams of events. Close the lab after use.
func Open(ctx context.Context, s Settings, log *slog.Logger) (l *Lab, err error) {
	l = &Lab{settings: s, network: s.Network, Lab: &handlers.Lab{
		Strategies: Strategies(),
		Ledger: receipt.NewLedger(fmt.Sprintf("%06x", rand.Uint32()>>8), s.Receipts,
			receipt.Limits{InFlight: s.MaxInFlight, Abandoned: s.MaxAbandoned, Busy: mostBusy()}),
		MaxDelay: s.MaxDelay, MaxTimeout: s.MaxTimeout, LogSlow: s.LogSlow,
		Public: s.Public, TrustedProxies: s.TrustedProxies, Hosts: s.Hosts, Token: s.Token,
		Machine: machine.This(), Started: time.Now(), Stopping: ctx, Log: log,
	}}
	opened := l // a return with an error sets l to nil
	defer func() {
		if err != nil {
			opened.Close()
		}
	}()
	if s.Data != "" {
		if err := jobs.MakeDir(s.Data); err != nil {
			return nil, err
		}
	}
	if err := l.openTelemetry(ctx); err != nil {
		return nil, err
	}
	if l.network != nil {
		var told sync.WaitGroup
		told.Go(func() {
			for err := range l.network.Failed() {
				l.Log.Error("the network has ended: answers say so, and so does /readyz", "error", err)
			}
		})
		l.atClose(func() { _ = l.network.Close(); told.Wait() })
	}
	if s.Ops == nil {
		l.settings.Ops = Ops()
	}
	if l.Ops, err = l.openOps(l.settings.Ops); err != nil {
		return nil, err
	}
	for _, b := range l.backends {
		log.Info("backend", append([]any{"name", b.name, "embedded", b.embedded != nil, "addr", b.addr}, b.about...)...)
	}
	l.warnOfStrangers()
	l.Lab.Backends, l.Lab.Working = l.health, l.working
	if l.kernel = newKernel(l.backends); l.kernel != nil {
		l.Kernel = l.kernel
	}
	l.measure()
	l.openQueue()
	if err := l.boundFiles(); err != nil {
		return nil, err
	}
	l.Outside = map[strategies.Place]handlers.Outside{strategies.InChild: l.inChild}
	return l, nil
}

// openOps opens the ops.
func (l *Lab) openOps(ops []Op) (all []handlers.Op, err error) {
	l.openPrograms()
	for _, op := range ops {
		opened, err := op.open(l)
		if err != nil {
			return nil, err
		}
		if opened.Name == "" {
			continue
		}
		for _, b := range l.backends {
			if b.name == opened.Name {
				opened.Watch, opened.Files = b.watch, b.files()
			}
		}
		all = append(all, opened)
	}
	return append(all, together(all)), nil
}

// mostBusy bounds the runs that compute. The share of one client has room for a comparison.
func mostBusy() int { return 4 * max(runtime.GOMAXPROCS(0), len(Strategies())) }

// Close ends all work, and closes all that Open opened, in reverse order.
func (l *Lab) Close() {
	for _, closeIt := range slices.Backward(l.closes) {
		closeIt()
	}
	l.closes = nil
}

// pool has the client of a backend closed with the lab, and its idle connections bounded by the limit of open files.
func (l *Lab) pool(b *backend, client interface {
	Close()
	SetMaxIdle(int)
}) {
	l.atClose(client.Close)
	l.pools = append(l.pools, pool{client.SetMaxIdle, b.files()})
}

// atClose adds a function that Close calls before those added earlier.
func (l *Lab) atClose(end func()) { l.closes = append(l.closes, end) }

// openTelemetry opens the traces, if the settings ask for them. They are opened first and
// closed last, because the spans of work that goes on end when the rest is closed.
func (l *Lab) openTelemetry(ctx context.Context) error {
	to := l.settings.Collector
	if to == nil {
		return nil
	}
	l.Log.Info("traces", "collector", to.Addr)
	tracing, err := telemetry.OpenTracing(ctx, to, machine.Version(), l.settings.Dial, l.Log)
	if err != nil {
		return err
	}
	l.atClose(tracing.Close)
	l.Trace = tracing
	return nil
}

// measure gives the lab its metrics.
func (l *Lab) measure() {
	of := telemetry.Lab{Counts: l.Ledger.Counts, Version: l.Machine.Version}
	for _, s := range l.Strategies {
		of.Strategies = append(of.Strategies, s.Name)
	}
	for _, op := range l.Ops {
		of.Ops = append(of.Ops, op.Name)
	}
	if l.kernel != nil {
		of.Connections = l.kernel.connections
	}
	metrics := telemetry.NewMetrics(of)
	l.Ledger.Watcher, l.Metrics = metrics, metrics.Handler()
}

// backend is the server that an op calls: a real one, or the op's stand-in.
type backend struct {
	name, addr string
	via        string                            // the address to dial, from which the network leads to the server; "" is addr
	dialed     string                            // via, or the host:port of the server
	embedded   *backends.Server                  // nil for a real server
	about      []any                             // further attributes for the log
	user       string                            // of the stand-in, "" where it has none
	extra      func() any                        // what the op's client in a child needs beside the address; nil is nothing
	given      json.RawMessage                   // in a child, the extra of its parent
	do         handlers.Part                     // makes a call
	health     handlers.Part                     // checks whether the backend is ready; nil is do, without a delay
	watch      func(handlers.Part) handlers.Part // wraps a call so that its query is watched; nil where the backend reports
	answered   func(error) bool                  // whether an error is the server's answer; nil is unknown
	working    func() []handlers.Job             // the jobs, without a request to the backend; nil where they are unknown
}

// backend attaches the server of an op to the network: the real server, or if that is nil
// a stand-in, whose reports go to the receipts.
func (l *Lab) backend(name string, real *private.Server, standIn func(backends.Options) (*backends.Server, error)) (*backend, error) {
	b, network := &backend{name: name}, "tcp"
	if of := l.parentsOf(name); of != nil {
		b.addr, b.via, b.dialed, b.given = of.Addr, of.Via, cmp.Or(of.Via, of.Addr), of.Extra
		if of.Embedded {
			b.embedded = backends.Elsewhere(name, b.addr)
		}
		l.backends = append(l.backends, b)
		return b, nil
	}
	if real != nil {
		network, b.addr = real.Network, real.Addr
	} else {
		server, err := standIn(l.options())
		if err != nil {
			return nil, err
		}
		l.atClose(func() { _ = server.Close() })
		b.embedded, b.addr = server, server.Addr
		b.working = func() []handlers.Job { return jobsOf(server.Working()) }
	}
	if l.network != nil {
		var err error
		if b.via, err = l.network.Attach(name, network, b.addr, real != nil); err != nil {
			return nil, fmt.Errorf("the %s backend can't be brought on the network: %w", name, err)
		}
	}
	b.dialed = cmp.Or(b.via, b.addr)
	l.backends = append(l.backends, b)
	return b, nil
}

func (l *Lab) options() backends.Options {
	return backends.Options{
		MaxDelay: l.MaxDelay,
		Began:    func(run string) { l.report(run, (*receipt.Receipt).BackendBegan) },
		Ended:    func(run string) { l.report(run, (*receipt.Receipt).BackendEnded) },
	}
}

// report calls what with the receipt of a run, if the lab still keeps the receipt.
func (l *Lab) report(run string, what func(*receipt.Receipt)) {
	if rc := l.Ledger.Get(run); rc != nil {
		what(rc)
	}
}

// healthTimeout bounds a health check of a backend, and healthRun is the tag of that call.
const (
	healthTimeout = 2 * time.Second
	healthRun     = "health"
)

// health checks whether each backend is ready. Who asks during a check shares the next one.
func (l *Lab) health(ctx context.Context) []handlers.Backend {
	type check struct {
		began time.Time
		found []handlers.Backend
	}
	for asked := time.Now(); ; {
		v, _, _ := l.checks.Do("", func() (any, error) { return check{time.Now(), l.check(context.WithoutCancel(ctx))}, nil })
		if c := v.(check); !c.began.Before(asked) {
			return c.found
		}
	}
}

func (l *Lab) check(ctx context.Context) []handlers.Backend {
	all := make([]handlers.Backend, len(l.backends))
	var looks sync.WaitGroup
	for i, b := range l.backends {
		looks.Go(func() {
			l.looking <- struct{}{}
			all[i] = b.look(ctx)
			<-l.looking
		})
	}
	looks.Wait()
	if l.network == nil {
		return all
	}
	now := l.network.State() // after the looks, so that a network lost during them explains each
	for i := range all {
		if lost := now.Of(all[i].Name).Ended; lost != "" {
			all[i].Ready, all[i].Error = false, lost
		}
	}
	return all
}

func (b *backend) look(ctx context.Context) handlers.Backend {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	h := handlers.Backend{Health: handlers.Health{Name: b.name, Embedded: b.embedded != nil, Addr: b.addr, User: b.user, Ready: true}}
	ask := b.health
	if ask == nil {
		ask = b.do
	}
	if err := ask(ctx, slowops.Call{Run: healthRun}); err != nil {
		h.Ready, h.Error = false, err.Error()
		if errors.Is(err, context.DeadlineExceeded) {
			h.Error = fmt.Sprintf("no answer within %s", healthTimeout)
		}
	}
	if b.embedded != nil {
		h.Working = b.working()
	}
	return h
}

// working returns the jobs of each backend, without a request to the backend.
func (l *Lab) working() []handlers.Backend {
	all := make([]handlers.Backend, len(l.backends))
	for i, b := range l.backends {
		all[i].Name = b.name
		if b.working != nil {
			all[i].Working = b.working()
		}
	}
	return all
}

// jobsOf returns the jobs of a stand-in, without those of health checks.
func jobsOf(of []backends.Job) []handlers.Job {
	all := []handlers.Job{}
	for _, j := range of {
		if j.Run != healthRun {
			all = append(all, handlers.Job{Receipt: j.Run, Work: strings.TrimSpace(j.Work), Began: j.Began})
		}
	}
	return all
}
