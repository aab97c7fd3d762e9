package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/backends"
	cachebackend "gotimeout/internal/backends/cache"
	dbbackend "gotimeout/internal/backends/db"
	httpbackend "gotimeout/internal/backends/http"
	"gotimeout/internal/badnet/live"
	"gotimeout/internal/receipt"
	"gotimeout/slowops"
)

// bench is what the lab's runs are made on: the ops and their backends.
type bench struct {
	ledger  *receipt.Ledger
	network *live.Network // nil: nothing lies between
	parts   []*part       // http, cache, db
	targets *httpbackend.Targets
	db      *slowops.MySQL
	list    *dbbackend.ProcessList // nil with the embedded database
	queried underWay               // on a real one
	closes  []func()
}

// part is one backend and the op on it.
type part struct {
	name, addr string
	dialled    string           // which is addr, or what carries to it
	server     *backends.Server // nil for a real one
	do         func(context.Context, slowops.Call) error
	tls        bool
	jobs       func() []backends.Job // of the servers that a run may ask for in its place
}

// openBench starts the embedded backends and makes the clients. It connects to
// nothing, so that a real server that is down doesn't stop it. It closes the
// network, which may be nil.
func openBench(s settings, net *live.Network) (b *bench, err error) {
	lab := fmt.Sprintf("%06x", rand.Uint32()>>8)
	b = &bench{ledger: receipt.NewLedger(lab, s.receipts, s.limits), network: net}
	if net != nil {
		b.closes = append(b.closes, func() { _ = net.Close() })
	}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if err := b.openHTTP(s); err != nil {
		return nil, err
	}
	if err := b.openCache(s); err != nil {
		return nil, err
	}
	return b, b.openDB(s)
}

// start starts an embedded backend whose reports go to the receipts.
func (b *bench) start(s settings, start func(backends.Options) (*backends.Server, error)) (*backends.Server, error) {
	server, err := start(b.options(s))
	if err == nil {
		b.closes = append(b.closes, func() { _ = server.Close() })
	}
	return server, err
}

func (b *bench) options(s settings) backends.Options {
	return backends.Options{
		MaxDelay: s.maxDelay,
		Began:    func(run string) { b.tell(run, (*receipt.Receipt).BackendBegan) },
		Ended:    func(run string) { b.tell(run, (*receipt.Receipt).BackendEnded) },
	}
}

// tell tells the receipt of a run, if it is still kept.
func (b *bench) tell(run string, what func(*receipt.Receipt)) {
	if rc := b.ledger.Get(run); rc != nil {
		what(rc)
	}
}

// attach brings a part on the network, and returns where to dial it, "" for
// where it is.
func (b *bench) attach(p *part, network, addr string) (dial string, err error) {
	if b.network != nil {
		dial, err = b.network.Attach(p.name, network, addr, p.server == nil)
		if err != nil {
			return "", fmt.Errorf("the %s backend can't be brought on the network: %w", p.name, err)
		}
	}
	p.dialled = cmp.Or(dial, addr)
	return dial, nil
}

func (b *bench) openHTTP(s settings) error {
	p := &part{name: "http"}
	base := s.httpURL
	if base != nil {
		p.addr = base.Redacted()
	} else {
		server, err := b.start(s, httpbackend.Start)
		if err != nil {
			return err
		}
		p.server, p.addr = server, server.Addr
		base = &url.URL{Scheme: "http", Host: server.Addr}
	}
	via, err := b.attach(p, "tcp", hostPort(base))
	if err != nil {
		return err
	}
	if b.targets, err = httpbackend.StartTargets(b.options(s)); err != nil {
		return err
	}
	b.closes = append(b.closes, func() { _ = b.targets.Close() })
	op := slowops.NewHTTP(base.String(), 0)
	op.Via, op.Targets, op.Roots = via, b.targets.URLs, b.targets.Roots
	p.tls, p.jobs = base.Scheme == "https", b.targets.Working
	p.do, b.parts, b.closes = op.Do, append(b.parts, p), append(b.closes, op.Close)
	return nil
}

func (b *bench) openCache(s settings) error {
	p := &part{name: "cache", addr: s.cacheAddr}
	if p.addr == "" {
		server, err := b.start(s, cachebackend.Start)
		if err != nil {
			return err
		}
		p.server, p.addr = server, server.Addr
	}
	via, err := b.attach(p, "tcp", p.addr)
	if err != nil {
		return err
	}
	op := slowops.NewCache(p.addr, 0)
	op.Via = via
	p.do, b.parts, b.closes = op.Do, append(b.parts, p), append(b.closes, op.Close)
	return nil
}

func (b *bench) openDB(s settings) error {
	p, cfg := &part{name: "db"}, s.db
	if cfg == nil {
		server, err := b.start(s, dbbackend.Start)
		if err != nil {
			return err
		}
		if cfg, err = slowops.ParseDSN("lab@tcp(" + server.Addr + ")/lab"); err != nil {
			return err
		}
		p.server = server
	}
	via, err := b.attach(p, cfg.Net, cfg.Addr)
	if err != nil {
		return err
	}
	b.db = slowops.NewMySQL(cfg, 0)
	b.db.Via = via
	p.addr, p.do = cfg.Addr, b.db.Do
	b.parts, b.closes = append(b.parts, p), append(b.closes, b.db.Close)
	if p.server != nil {
		return nil
	}
	return b.look(p, cfg)
}

// close closes what was opened, the last first, and with it ends all work.
func (b *bench) close() {
	for i := len(b.closes) - 1; i >= 0; i-- {
		b.closes[i]()
	}
}

// healthTimeout bounds a look at a backend, and healthRun is its tag.
const (
	healthTimeout = 2 * time.Second
	healthRun     = "health"
)

// health calls each backend's op without a delay.
func (b *bench) health(ctx context.Context) []handlers.Backend {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	all := make([]handlers.Backend, len(b.parts))
	var looks sync.WaitGroup
	for i, p := range b.parts {
		looks.Go(func() { all[i] = p.health(ctx) })
	}
	looks.Wait()
	return all
}

func (p *part) health(ctx context.Context) handlers.Backend {
	h := handlers.Backend{Health: handlers.Health{Name: p.name, Embedded: p.server != nil, Addr: p.addr, Ready: true}}
	if err := p.do(ctx, slowops.Call{Run: healthRun}); err != nil {
		h.Ready, h.Error = false, sentence(err)
	}
	if p.server != nil {
		h.Working = p.working()
	}
	return h
}

func (p *part) working() []handlers.Job {
	jobs := p.server.Working()
	if p.jobs != nil {
		jobs = append(jobs, p.jobs()...)
	}
	working := []handlers.Job{}
	for _, j := range jobs {
		if j.Run != healthRun {
			working = append(working, handlers.Job{Receipt: j.Run, Work: strings.TrimSpace(j.Work), Began: j.Began})
		}
	}
	return working
}

func sentence(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %s", healthTimeout)
	}
	return err.Error()
}
