package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/badnet/live"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/machine"
	"gotimeout/strategies"
)

type serveCmd struct {
	Addr      string `env:"GOTIMEOUT_ADDR" placeholder:"HOST:PORT" help:"Where to listen. 127.0.0.1:8000 if neither this nor PORT is set; with PORT alone, that port on all interfaces."`
	HTTPURL   string `name:"http-url" env:"HTTPBIN_URL" placeholder:"URL" help:"A real httpbin in the place of the embedded one, such as http://127.0.0.1:8080."`
	CacheAddr string `name:"cache-addr" env:"MEMCACHED_ADDR" placeholder:"HOST:PORT" help:"A real memcached in the place of the embedded one."`
	DBDSN     string `name:"db-dsn" env:"MYSQL_DSN" placeholder:"DSN" help:"A real MySQL or MariaDB in the place of the embedded one: user:pass@tcp(host:3306)/db or mysql://user:pass@host:3306/db."`

	Network       string `env:"GOTIMEOUT_NETWORK" placeholder:"PROFILE" help:"A bad network to the backends: a preset, as 3g, or keys, as 'delay=100ms loss=1%'; none is a good one that can be changed with PUT /network. Without it there is none."`
	NetworkDriver string `env:"GOTIMEOUT_NETWORK_DRIVER" default:"auto" enum:"auto,netem,tun,proxy,none" help:"What makes the network bad: netem, the kernel's; tun, our shaper of packets; proxy, where there are no namespaces; auto, the first that works here (${enum})."`

	// nil where they are not given: caps knows what they are then.
	MaxDelay     *time.Duration `placeholder:"10s" help:"The longest delay that a request may ask for; 5s if public."`
	MaxTimeout   *time.Duration `placeholder:"30s" help:"The longest timeout that a request may ask for; 10s if public."`
	MaxInFlight  *int           `placeholder:"2048" help:"How many runs may be in flight, more are answered 503; 256 if public."`
	MaxAbandoned *int           `placeholder:"8192" help:"How many answered runs may have left work behind, then runs are answered 503; 1024 if public."`
	Receipts     *int           `placeholder:"10000" help:"How many of the last receipts are kept, up to 1000000, in about 1 KB each; 1000 if public."`

	Public         *bool    `negatable:"" env:"GOTIMEOUT_PUBLIC" help:"Serve anybody: tighter caps, a limit on the runs of each client, and no changes of the network but with the token. So it is where PORT is set, and otherwise not."`
	TrustedProxies []string `env:"GOTIMEOUT_TRUSTED_PROXIES" placeholder:"CIDR" help:"The proxies in front of a public lab, such as 10.0.0.0/8: of these alone X-Forwarded-For is believed."`

	LogSlow time.Duration `default:"1s" help:"Log runs that are answered later than this after their timeout; 0 is none."`
}

// grace is how long requests in flight may take to finish after a signal: the
// longest delay of the defaults, and some more.
const grace = 12 * time.Second

// Run serves until ctx is done. kong calls it.
func (s *serveCmd) Run(ctx context.Context, to streams) error {
	addr, settings, err := s.read(os.Getenv("PORT"))
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(to.err, nil))
	listener, err := listen(addr)
	if err != nil {
		return err
	}
	return onNetwork(ctx, settings, listener, log, func(ctx context.Context, listener net.Listener, network *live.Network, process *private.Process) error {
		defer listener.Close()
		return s.lab(ctx, settings, log, listener, network, process)
	})
}

// lab serves the lab until ctx is done. The network and the process in a private
// one are nil where there is none.
func (s *serveCmd) lab(ctx context.Context, settings settings, log *slog.Logger, listener net.Listener, network *live.Network, process *private.Process) error {
	bench, err := openBench(settings, network)
	if err != nil {
		return err
	}
	tracing, err := openTracing(ctx, settings, process, log)
	defer func() {
		bench.close() // which ends what still goes on, and so its spans
		tracing.Close()
	}()
	if err != nil {
		return err
	}
	for _, note := range settings.notes {
		log.Info(note)
	}
	for _, b := range bench.parts {
		log.Info("backend", "name", b.name, "embedded", b.server != nil, "addr", b.addr)
	}
	lab := &handlers.Lab{
		Strategies: strategies.All(), Ops: bench.ops(), Ledger: bench.ledger,
		MaxDelay: settings.maxDelay, MaxTimeout: settings.maxTimeout,
		Public: settings.public, TrustedProxies: settings.proxies,
		Backends: bench.health, Working: bench.working, Kernel: newKernel(bench.parts), Token: os.Getenv("GOTIMEOUT_TOKEN"),
		Machine: machine.This(), Started: time.Now(), Stopping: ctx, Log: log, LogSlow: s.LogSlow,
	}
	watch(lab, tracing)
	if network != nil {
		if err := begin(ctx, network, settings, log); ctx.Err() != nil {
			log.Info("stopped before it served")
			return nil
		} else if err != nil {
			return err
		}
		lab.Network = network
	}
	log.Info("serving", "url", "http://"+address(listener.Addr()), "addr", listener.Addr(), "public", settings.public)
	return serve(ctx, listener, lab, log)
}

// serve serves until ctx is done, then lets the requests in flight finish.
func serve(ctx context.Context, listener net.Listener, lab *handlers.Lab, log *slog.Logger) error {
	// Longer than any run: net/http cancels a request's context when
	// ReadTimeout passes, and drops the answer when WriteTimeout does.
	longest := lab.Longest() + 10*time.Second
	server := &http.Server{
		Handler:           lab.Routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       longest,
		WriteTimeout:      longest,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving stopped: %w", err)
	case <-ctx.Done():
	}
	log.Info("stopping: a second signal doesn't wait", "in_flight", lab.Ledger.Counts().InFlight, "grace", grace)
	within, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := server.Shutdown(within); err != nil {
		_ = server.Close()
		log.Warn("requests cut after the grace period", "in_flight", lab.Ledger.Counts().InFlight)
	}
	log.Info("stopped")
	return nil
}

// address is the address to open: localhost for a listener on all interfaces.
func address(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("localhost:%d", tcp.Port)
	}
	return a.String()
}

// reason is what the system said of a failed listen.
func reason(err error) error {
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		return sys.Err
	}
	return err
}
