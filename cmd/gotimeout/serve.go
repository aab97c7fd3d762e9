package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/live"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/lab"
	"gotimeout/internal/telemetry"
)

type serveCmd struct {
	envFlags

	Addr string `env:"GOTIMEOUT_ADDR" addon:"PORT" placeholder:"HOST:PORT" help:"The address to listen on (default: 127.0.0.1:8000, or all interfaces at the port in $PORT)."`

	labFlags

	queueFlags
	Data string `env:"GOTIMEOUT_DATA" placeholder:"DIR" predictor:"file" help:"The directory of the queue's files without --nats-url: jobs then survive a restart (default: a temporary directory)."`

	Network       string `env:"GOTIMEOUT_NETWORK" predictor:"profile" placeholder:"PROFILE" help:"The network to the backends: a preset such as 3g, or keys such as 'delay=100ms loss=1%'; none adds no delay and no loss. With --network, PUT /network can change the network later."`
	NetworkDriver string `env:"GOTIMEOUT_NETWORK_DRIVER" default:"auto" enum:"{drivers}" help:"What makes the network bad: {drivers_help}."`

	// These are nil if not given, because their defaults depend on Public.
	MaxDelay     *time.Duration `placeholder:"10s" help:"The longest delay that a request may ask for (default in a public lab: 5s)."`
	MaxTimeout   *time.Duration `placeholder:"30s" help:"The longest timeout that a request may ask for (default in a public lab: 10s)."`
	MaxInFlight  *int           `placeholder:"2048" help:"How many runs may be in flight. Further ones are answered 503 (default in a public lab: 256)."`
	MaxAbandoned *int           `placeholder:"8192" help:"How many answered runs may have left work behind. While there are more, runs are answered 503 (default in a public lab: 1024)."`
	Receipts     *int           `placeholder:"10000" help:"How many receipts are kept, up to 1000000, each in about 1 KB (default in a public lab: 1000)."`

	Public         *bool    `negatable:"" env:"GOTIMEOUT_PUBLIC" addon:"PORT" help:"Serve anybody: with lower caps, a limit on the runs of each client, and changes of the network only with $GOTIMEOUT_TOKEN (default: public if $PORT is set)."`
	TrustedProxies []string `env:"GOTIMEOUT_TRUSTED_PROXIES" placeholder:"CIDR" help:"The proxies in front of a public lab, such as 10.0.0.0/8. The lab believes X-Forwarded-For from these proxies alone."`

	Host []string `env:"GOTIMEOUT_HOST" placeholder:"NAME" help:"The names that the lab answers for, besides addresses, localhost and this machine's name; a public lab answers for every name unless this is set."`

	LogSlow time.Duration `default:"1s" help:"Log each run that is answered by more than this duration after its timeout; 0 logs none."`

	LogFormat string `env:"GOTIMEOUT_LOG_FORMAT" default:"text" enum:"text,json" help:"The format of the log, text or json, a line an event."`
}

// Help returns the text of the help above the flags. kong calls it.
func (serveCmd) Help() string {
	return `Some environment variables have no flag. $GOTIMEOUT_TOKEN is the token that changes
the network of a public lab. $OTEL_EXPORTER_OTLP_ENDPOINT is the collector that
traces are sent to. $JAWSDB_URL or $DATABASE_URL is the database where no DSN is
given.

The exit status is 0 after Ctrl-C or SIGTERM, when the requests in flight have been
answered, 1 where the lab can't be served, and 2 for a bad value.`
}

// newCLI returns the command line, with the settings of every op.
func newCLI() *cli {
	c := new(cli)
	for _, f := range []*labFlags{&c.Serve.labFlags, &c.Config.labFlags, &c.Compare.labFlags, &c.Worker.labFlags, &c.Recommend.labFlags, &c.Atlas.labFlags} {
		*f = newLabFlags()
	}
	return c
}

// Run serves until ctx is done. kong calls it.
func (s *serveCmd) Run(ctx context.Context, getenv environment, to streams) error {
	p, err := s.read(getenv)
	if err != nil {
		return err
	}
	s.EnvFile.export("OTEL_") // OpenTelemetry's SDK reads the environment of the process
	log := slog.New(s.logHandler(to.err))
	listener, err := listen(p.addr)
	if err != nil {
		return err
	}
	return onNetwork(ctx, p, listener, log, func(ctx context.Context, listener net.Listener, network *live.Network, process *private.Process) error {
		defer listener.Close()
		for _, note := range p.notes {
			log.Info(note)
		}
		settings := p.lab
		settings.Network = network
		if process != nil {
			settings.Dial = process.Dial // the collector is outside
		}
		l, err := lab.Open(ctx, settings, log)
		if err != nil {
			return err
		}
		defer l.Close()
		return l.Serve(ctx, listener)
	})
}

// hosts returns the names that the lab answers for, nil for every name.
func (s *serveCmd) hosts(addr string, public bool) []string {
	if public && len(s.Host) == 0 {
		return nil
	}
	listens, _, _ := net.SplitHostPort(addr)
	machine, _ := os.Hostname() // "" for a machine without a name
	return append([]string{listens, machine}, s.Host...)
}

// logHandler returns the handler for the log format of the flags.
func (s *serveCmd) logHandler(to io.Writer) slog.Handler {
	if s.LogFormat == "json" {
		return slog.NewJSONHandler(to, nil)
	}
	return slog.NewTextHandler(to, nil)
}

// plan has the settings of serve, read and checked.
type plan struct {
	addr    string
	lab     lab.Settings
	notes   []string // about the variables that a PaaS has set
	network bool     // whether a network was asked for
	driver  string
}

// read checks the settings, and gives each unset one its default. An error names the setting
// that can't be read, and the reason.
func (s *serveCmd) read(getenv environment) (p plan, err error) {
	port := getenv("PORT")
	p.addr = cmp.Or(s.Addr, "127.0.0.1:8000")
	if s.Addr == "" && port != "" {
		if !lab.IsPort(port) {
			return p, usagef("PORT is %q: it must be a number from 0 to 65535", port)
		}
		p.addr = ":" + port
	}
	s.Addr = p.addr
	if err := lab.CheckAddr(p.addr); err != nil {
		return p, usagef("the address to listen on (--addr or GOTIMEOUT_ADDR) %w", err)
	}
	for _, op := range s.Ops {
		op := op.(lab.Op)
		notes, err := op.Read(getenv)
		if err != nil {
			return p, usageError{err}
		}
		p.lab.Ops, p.notes = append(p.lab.Ops, op), append(p.notes, notes...)
	}
	if err := s.readNetwork(&p); err != nil {
		return p, err
	}
	if err := s.queueFlags.read(); err != nil {
		return p, err
	}
	if p.lab.NATSURL, p.lab.Data = s.NATSURL, s.Data; s.NATSURL != "" && s.Data != "" {
		return p, usagef("--data (GOTIMEOUT_DATA) is of the queue in this process, and --nats-url (NATS_URL) names another: leave one of them out")
	}
	p.lab.OwnName = s.Name
	if err := p.lab.Check(p.network); err != nil {
		return p, usageError{err}
	}
	p.lab.Token = getenv("GOTIMEOUT_TOKEN")
	if p.lab.Collector, err = telemetry.ReadCollector(getenv); err != nil {
		return p, usageError{err}
	}
	if p.lab.LogSlow = s.LogSlow; s.LogSlow < 0 {
		return p, usagef("--log-slow is %s: it must be over 0, or 0 to log none", s.LogSlow)
	}
	p.lab.Public = settled(&s.Public, port != "") // a PaaS sets PORT, and its labs are public
	for _, name := range s.Host {
		if name == "" || strings.ContainsAny(name, ":/*@ ") {
			return p, usagef("--host (GOTIMEOUT_HOST) has %q, which is no name of a host: write lab.example, without a scheme and a port; the lab answers for addresses without it", name)
		}
	}
	p.lab.Hosts = s.hosts(p.addr, p.lab.Public)
	for _, text := range s.TrustedProxies {
		proxy, err := netip.ParsePrefix(text)
		if err != nil {
			return p, usagef("--trusted-proxies (GOTIMEOUT_TRUSTED_PROXIES) has %q, which is no range of addresses: write 10.0.0.0/8, and several with commas", text)
		}
		p.lab.TrustedProxies = append(p.lab.TrustedProxies, proxy)
	}
	return p, s.readCaps(&p.lab)
}

func (s *serveCmd) readNetwork(p *plan) (err error) {
	p.driver = s.NetworkDriver
	p.network = s.Network != "" || s.NetworkDriver != badnet.Auto && s.NetworkDriver != badnet.Without
	if s.Network == "" {
		return nil
	}
	if s.NetworkDriver == badnet.Without {
		return usagef("--network-driver none (GOTIMEOUT_NETWORK_DRIVER) makes no network: leave --network out, or choose auto")
	}
	if p.lab.Profile, err = badnet.ParseWithFiles(s.Network); err != nil {
		return usagef("--network (GOTIMEOUT_NETWORK): %w", err)
	}
	return nil
}

// readCaps reads the caps of the runs, whose defaults are lower in a public lab.
func (s *serveCmd) readCaps(out *lab.Settings) error {
	maxDelay, maxTimeout, inFlight, abandoned, receipts := 10*time.Second, 30*time.Second, 2048, 8192, 10_000
	if out.Public {
		maxDelay, maxTimeout, inFlight, abandoned, receipts = 5*time.Second, 10*time.Second, 256, 1024, 1000
	}
	out.MaxDelay, out.MaxTimeout = settled(&s.MaxDelay, maxDelay), settled(&s.MaxTimeout, maxTimeout)
	if err := checkLongest(out); err != nil {
		return err
	}
	out.MaxInFlight, out.MaxAbandoned = settled(&s.MaxInFlight, inFlight), settled(&s.MaxAbandoned, abandoned)
	for name, n := range map[string]int{"--max-in-flight": out.MaxInFlight, "--max-abandoned": out.MaxAbandoned} {
		if n < 1 {
			return usagef("%s is %d: it must be at least 1", name, n)
		}
	}
	out.Receipts = settled(&s.Receipts, receipts)
	if out.Receipts < 1 || out.Receipts > 1_000_000 {
		return usagef("--receipts is %d: it must be from 1 to 1000000", out.Receipts)
	}
	return nil
}

// checkLongest checks the caps on the times of a run.
func checkLongest(of *lab.Settings) error {
	for name, d := range map[string]time.Duration{"--max-delay": of.MaxDelay, "--max-timeout": of.MaxTimeout} {
		if d <= 0 || d > time.Hour {
			return usagef("%s is %s: it must be over 0 and at most 1h", name, d)
		}
	}
	return nil
}

// settled returns a flag's value. A flag that was not given is set to otherwise.
func settled[T any](flag **T, otherwise T) T {
	if *flag == nil {
		*flag = &otherwise
	}
	return **flag
}

// listen opens the listener. The process inside a private network gets nil here, because it
// uses the listener of the process outside.
func listen(addr string) (*net.TCPListener, error) {
	if private.Inside() {
		return nil, nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s (%w): choose another one with --addr, or PORT", addr, reason(err))
	}
	return l.(*net.TCPListener), nil
}

// reason returns the system's error in the error of a failed listen.
func reason(err error) error {
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		return sys.Err
	}
	return err
}

// seed is the seed of the losses and delays of every lab. It is constant, so that a run can
// be repeated.
const seed = 1

// onNetwork calls serve with the network of the settings, or nil for none. For a private
// network it runs the program again inside that network. If the system allows none and the
// settings name no driver, proxies take its place.
func onNetwork(ctx context.Context, p plan, listener *net.TCPListener, log *slog.Logger,
	serve func(context.Context, net.Listener, *live.Network, *private.Process) error) error {
	proxies := func(why string) error {
		n, err := live.Proxies(why)
		if err != nil {
			return err
		}
		return serve(ctx, listener, n, nil)
	}
	switch {
	case private.Inside() && (!p.network || p.driver == badnet.Proxy):
		return private.ErrSet
	case !p.network:
		return serve(ctx, listener, nil, nil)
	case p.driver == badnet.Proxy:
		return proxies("it was asked for")
	}
	status, err := private.Work{
		Outside: private.Outside{Listener: listener, Servers: p.lab.Servers()},
		Inside: func(ctx context.Context, process *private.Process) (int, error) {
			n, err := live.Private(process, p.driver, p.lab.Profile, seed)
			if err != nil {
				return 0, private.Refused(err)
			}
			if err := process.Ready(); err != nil {
				return 0, err
			}
			return 0, serve(ctx, process.Listener, n, process)
		},
		Refused: func(reason *private.RefusedError) (int, error) {
			if p.driver != badnet.Auto {
				return 0, fmt.Errorf("there is no network by --network-driver %s here: %w", p.driver, reason)
			}
			log.Warn("no private network, and so proxies", "reason", reason)
			return 0, proxies("no private network can be had here: " + reason.Error())
		},
	}.Do(ctx)
	switch {
	case err != nil || status == 0:
		return err
	case status > 128:
		log.Error("the process in the private network was killed", "signal", status-128)
	}
	return exitStatus(status)
}
