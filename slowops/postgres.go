package slowops

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Postgres is the op postgres: on a connection of pgx's pool it queries SELECT 1 without a
// delay, else SELECT pg_sleep or a DO block that computes. Every query has the run's tag
// in a comment, and with a Traceparent that in a second one, in sqlcommenter's format.
//
// What pgx does with a query whose context has ended is the parameter cancel of a call: one
// of the constants Cancel. pgx has one timeout of its own, connect_timeout, which bounds the
// dial, the TLS handshake and the login together. So a call's IOTimeout and ConnectTimeout
// bound no query, and its other timeouts bound nothing.
type Postgres struct {
	// Via is the host:port to dial instead of the server's. The check of the
	// certificate still names the server's host. "" dials the server itself. Set Via
	// before the first call.
	Via string

	// Statement is the own call: each call runs Statement instead and reads all its
	// rows, and errors quote nothing of it. Without Write, each of its transactions is
	// read-only. A call uses only its run's tag, its timeouts and the parameter cancel.
	// Set both before the first call.
	Statement string
	Write     bool

	cfg      *pgxpool.Config
	maxConns int
	maxIdle  int

	mu     sync.Mutex
	open   map[string]*pgxpool.Pool // by the value of cancel
	closed bool
}

// The values of the parameter cancel of a call of Postgres.
const (
	// CancelClose is pgx's default: the read ends, the call returns, and then pgx sends
	// a cancel request on a second connection and closes the first one.
	CancelClose = "close"

	// CancelRequest is a pgconn.CancelRequestContextWatcherHandler as written without
	// its delays. Its DeadlineDelay of 0 ends the read at once, before the cancel request
	// is sent, so that the connection is closed as with CancelClose. But the
	// call returns 100 ms later, which the handler sleeps
	// (https://github.com/jackc/pgx/issues/2534).
	CancelRequest = "request"

	// CancelGrace is that handler with a DeadlineDelay of Grace: the server answers
	// the cancel request with an error, and the connection is kept.
	CancelGrace = "grace"
)

// Cancels returns the values of the parameter cancel, pgx's default first.
func Cancels() []string { return []string{CancelClose, CancelRequest, CancelGrace} }

// Grace is how long CancelGrace waits for the server to end the query: long enough for the
// slowest network of the lab.
const Grace = 3 * time.Second

// paramCancel is the name of the parameter in Call.Params.
const paramCancel = "cancel"

// ParsePostgres reads a URL ("postgres://user:pass@host:5432/db") or the keywords and values
// of libpq ("host=/run/postgresql dbname=db"), with one host. As with each program on pgx,
// the variables of libpq and the file of passwords count for what the text leaves out.
// The error never repeats the password.
func ParsePostgres(text string) (*pgxpool.Config, error) {
	const hint = "write postgres://user:pass@host:5432/db, special characters of the password as %XX"
	if scheme.MatchString(text) {
		_, rest, _ := strings.Cut(text, "://")
		end := strings.IndexAny(rest+"/", "/?#")
		u, err := url.Parse(text)
		// An @ in the rest means that the password has a / or ? or # that is not escaped.
		if (err != nil && !strings.Contains(rest[:end], ",")) || strings.Contains(rest[end:], "@") {
			return nil, errors.New("unreadable URL; " + hint)
		}
		if err == nil && u.Scheme != "postgres" && u.Scheme != "postgresql" {
			return nil, fmt.Errorf("a URL with scheme %q; %s", u.Scheme, hint)
		}
	}
	cfg, err := pgxpool.ParseConfig(text)
	if err != nil { // pgx's error quotes the text
		return nil, errors.New("unreadable by pgx; " + hint)
	}
	server := &cfg.ConnConfig.Config
	for _, next := range server.Fallbacks { // also the same host without TLS, as sslmode=prefer has it
		if next.Host != server.Host || next.Port != server.Port {
			return nil, errors.New("an address of several hosts; name one host, as in postgres://user:pass@host:5432/db")
		}
	}
	return cfg, nil
}

// NewPostgres returns an op on the server of cfg. maxConns bounds the connections of its pool;
// 0 is no bound, so that no call waits for the connection of another. The timeouts of cfg
// are used where a call has none. Call Close after use.
func NewPostgres(cfg *pgxpool.Config, maxConns int) *Postgres {
	return &Postgres{cfg: cfg, maxConns: cmp.Or(maxConns, noLimit), maxIdle: noLimit, open: map[string]*pgxpool.Pool{}}
}

// SetMaxIdle bounds the idle connections that the op keeps; 0 keeps none. Call it before the first call.
func (p *Postgres) SetMaxIdle(n int) { p.maxIdle = n }

// Close closes the idle connections, and each connection in use when its call returns. It
// returns when all are closed, and without those in use after a second.
func (p *Postgres) Close() {
	p.mu.Lock()
	open := slices.Collect(maps.Values(p.open))
	p.closed, p.open = true, nil
	p.mu.Unlock()
	all := make(chan struct{})
	go func() {
		defer close(all)
		var pools sync.WaitGroup
		for _, pool := range open {
			pools.Go(pool.Close)
		}
		pools.Wait()
	}()
	select {
	case <-all:
	case <-time.After(idleTimeout):
	}
}

// Pool returns pgx's pool for a value of the parameter cancel.
func (p *Postgres) Pool(cancel string) (*pgxpool.Pool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pool := p.open[cancel]; pool != nil || p.closed {
		if p.closed {
			return nil, errors.New("closed pool")
		}
		return pool, nil
	}
	cfg := p.cfg.Copy()
	cfg.MaxConns, cfg.MinConns, cfg.MinIdleConns = int32(p.maxConns), 0, 0
	cfg.MaxConnLifetime, cfg.MaxConnIdleTime, cfg.HealthCheckPeriod = 0, idleTimeout, idleTimeout
	cfg.BeforeConnect = p.beforeConnect
	if p.maxIdle < noLimit { // pgx begins a goroutine for each release then
		cfg.AfterRelease = func(c *pgx.Conn) bool { return ours(c.PgConn().Conn()).holder.Load() == nil }
	}
	switch cancel {
	case CancelRequest:
		cfg.ConnConfig.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
			return &pgconn.CancelRequestContextWatcherHandler{Conn: c}
		}
	case CancelGrace:
		cfg.ConnConfig.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
			return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: Grace}
		}
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err == nil {
		p.open[cancel] = pool
	}
	return pool, err
}

// Do makes the query. When ctx ended an aware call, the error matches ctx.Err(), with any
// value of cancel; where the server answered in time it matches *pgconn.PgError too. Another
// error of the server matches *pgconn.PgError; an error that has a name is a *Failure.
func (p *Postgres) Do(ctx context.Context, c Call) error {
	ctx, cancel := c.context(ctx)
	defer cancel()
	err := p.do(ctx, &c)
	if err != nil && ctx.Err() == nil {
		err = named(err)
	} else {
		err = limited(ctx, err)
	}
	if p.Statement != "" && !errors.Is(err, ErrNotSent) {
		err = keepSecret("postgres query", err)
	}
	return err
}

func (p *Postgres) do(ctx context.Context, c *Call) error {
	pool, err := p.Pool(c.Params[paramCancel])
	if err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	dials := &pgDials{call: c}
	db, err := pool.Acquire(context.WithValue(ctx, pgDialsKey{}, dials))
	defer dials.leave()
	if err != nil {
		bound := cmp.Or(c.ConnectTimeout, c.IOTimeout)
		if bound > 0 && ctx.Err() == nil && isTimeout(err) {
			err = &Failure{code: connectTimeout, within: bound, err: err}
		}
		return fmt.Errorf("postgres: %w: %w", ErrNotSent, cutBy(ctx, err))
	}
	defer db.Release()
	pg := db.Conn().PgConn()
	held := ours(pg.Conn())
	if held.holder.Load() != c {
		held.hold(c)
		call(c.Reused)
	}
	err = p.query(ctx, c, pg)
	// pgx closes another connection now, or has begun to do so, and reports the close to its holder.
	if !pg.IsClosed() && !pg.IsBusy() && pg.TxStatus() == 'I' && p.hasRoom() {
		held.release(c)
	}
	return err
}

// hasRoom reports whether the pools may keep a connection. Those in use count too, because pgx takes back several at once.
func (p *Postgres) hasRoom() bool {
	if p.maxIdle == noLimit {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	open := 0
	for _, pool := range p.open {
		open += int(pool.Stat().TotalConns())
	}
	return open <= p.maxIdle
}

// query sends a statement by the simple protocol, in one round trip, and reads its results.
// The tag makes each text a new one, so that pgx's cache of prepared statements would
// only grow.
func (p *Postgres) query(ctx context.Context, c *Call, pg *pgconn.PgConn) (err error) {
	if ctx.Err() != nil {
		return fmt.Errorf("postgres: %w: %w", ErrNotSent, ctx.Err())
	}
	end, began := c.phase("postgres", "query"), time.Now()
	results := pg.Exec(ctx, p.sql(c))
	end(nil)
	end = c.phase("postgres", "result")
	last := ""
	for results.NextResult() {
		for rows := results.ResultReader(); rows.NextRow(); {
			last = string(rows.Values()[0])
		}
	}
	err = results.Close()
	end(err)
	switch {
	case err != nil:
		err = fmt.Errorf("postgres query: %w", endedBy(ctx, err))
		if answer, ok := errors.AsType[*pgconn.PgError](err); ok && answer.Code == queryCanceled && c.ServerLimit > 0 && time.Since(began) >= c.ServerLimit {
			return &Failure{code: serverLimit, within: c.ServerLimit, err: err}
		}
		return err
	case p.Statement == "" && c.Delay == 0 && last != "1":
		return &Failure{code: wrongAnswer, err: fmt.Errorf("postgres: SELECT 1 answered %.20q: the connection is poisoned", last)}
	}
	return nil
}

// queryCanceled is the code of an error that ended a query by a cancel request or by
// statement_timeout.
const queryCanceled = "57014"

// sql returns the statement of a call. The tag comes first, because the server cuts long texts
// in pg_stat_activity, and a statement may end in a comment of its own. Several statements
// of one text are one transaction: so a limit for this one costs no round trip, and is gone after it.
func (p *Postgres) sql(c *Call) string {
	sql := "/* gotimeout run=" + c.Run + " */ "
	if c.Traceparent != "" {
		sql += "/*traceparent='" + c.Traceparent + "'*/ "
	}
	if c.ServerLimit > 0 {
		limit := (c.ServerLimit + time.Millisecond - 1).Milliseconds() // rounded up, as 0 is no limit
		sql += fmt.Sprintf("SET LOCAL statement_timeout = %d; ", limit)
	}
	switch {
	case p.Statement != "" && p.Write:
		return sql + p.Statement
	case p.Statement != "":
		return sql + "SET TRANSACTION READ ONLY; " + p.Statement
	case c.Delay == 0:
		return sql + "SELECT 1"
	case c.Work == WorkCPU:
		// It computes for a time and not a number of rounds, so that nothing has to be calibrated.
		return sql + "DO $$ DECLARE over timestamptz := clock_timestamp() + interval '" + seconds(c.Delay) +
			" s'; BEGIN WHILE clock_timestamp() < over LOOP END LOOP; END $$"
	}
	return sql + "SELECT pg_sleep(" + seconds(c.Delay) + ")"
}

// pgDials are the dials of a call. pgx's pool dials on when the acquire has ended
// (https://github.com/jackc/pgx/issues/1287).
type pgDials struct {
	dials
	call *Call
}

// pgDialsKey is the context key of the pgDials for which pgx's pool dials.
type pgDialsKey struct{}

const pgRemedy = "pgx's pool dials on when the acquire has ended: set connect_timeout, which is 2 minutes for such dials by default"

func (d *pgDials) leave() {
	if d.call.IOTimeout == 0 && d.call.ConnectTimeout == 0 { // connect_timeout would end it
		d.outlive(d.call, pgRemedy)
	}
}

// pgDial is the dial of one connection of the pool, and of the connections on which pgx sends
// cancel requests for it.
type pgDial struct {
	place place
	dials *pgDials

	attempt int         // the dials so far: sslmode=prefer has two
	secure  []bool      // whether each attempt begins with a TLS handshake
	end     func(error) // ends the phase that goes on
	held    *conn
	up      atomic.Bool // the login is over
}

// beforeConnect gives a new connection hooks of its own. pgx calls it with the values of the
// acquire's context.
func (p *Postgres) beforeConnect(ctx context.Context, cfg *pgx.ConnConfig) error {
	dials, ok := ctx.Value(pgDialsKey{}).(*pgDials)
	if !ok {
		dials = &pgDials{call: new(Call)} // a user of Pool
	}
	network, addr := pgconn.NetworkAddress(cfg.Host, cfg.Port)
	if p.Via != "" {
		network = "tcp"
	}
	d := &pgDial{place: place{addr, p.Via}, dials: dials, secure: []bool{cfg.TLSConfig != nil}}
	for _, next := range cfg.Fallbacks {
		d.secure = append(d.secure, next.TLSConfig != nil)
	}
	cfg.ConnectTimeout = cmp.Or(dials.call.ConnectTimeout, dials.call.IOTimeout, cfg.ConnectTimeout)
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil } // the dial looks it up
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return d.dial(ctx, network) }
	cfg.AfterNetConnect = d.afterNet
	cfg.Tracer = d
	dials.begin()
	return nil
}

// errAttempt ends the phase in which pgx gave an attempt up.
var errAttempt = errors.New("pgx begins another attempt")

// next ends a phase of the connection, and begins the one of that name, if any.
func (d *pgDial) next(name string, err error) {
	if d.end != nil {
		d.end(err)
	}
	d.end = nil
	if name != "" {
		d.end = d.dials.call.phase("postgres", name)
	}
}

func (d *pgDial) dial(ctx context.Context, network string) (net.Conn, error) {
	if d.up.Load() {
		return d.dialCancel(ctx, network)
	}
	d.next("dial", errAttempt)
	cn, err := dial(ctx, d.dials.call, network, d.place)
	if err != nil {
		d.next("", err)
		return nil, err
	}
	after := "login"
	if d.attempt < len(d.secure) && d.secure[d.attempt] {
		after = "tls"
	}
	d.attempt, d.held = d.attempt+1, cn
	d.next(after, nil)
	return cn, nil
}

// afterNet makes the TLS handshake, which pgx leaves to the first write of the login.
func (d *pgDial) afterNet(ctx context.Context, _ *pgconn.Config, nc net.Conn) (net.Conn, error) {
	if secure, ok := nc.(*tls.Conn); ok {
		if err := secure.HandshakeContext(ctx); err != nil {
			return nc, err
		}
		d.next("login", nil)
	}
	return nc, nil
}

// TraceConnectStart implements pgx.ConnectTracer.
func (d *pgDial) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return ctx
}

// TraceConnectEnd implements pgx.ConnectTracer: the login is over, or the connection has failed.
func (d *pgDial) TraceConnectEnd(_ context.Context, end pgx.TraceConnectEndData) {
	d.next("", end.Err)
	d.up.Store(true)
	d.dials.end()
}

// TraceQueryStart and TraceQueryEnd make d a pgx.QueryTracer, which a tracer must be.
func (d *pgDial) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}
func (d *pgDial) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// dialCancel dials a connection for a cancel request, for the call that holds the connection of the
// query. The phase lasts until the server has closed it, which says that the request has arrived.
func (d *pgDial) dialCancel(ctx context.Context, network string) (net.Conn, error) {
	c := d.held.holder.Load()
	if c == nil {
		c = new(Call)
	}
	end := c.phase("postgres", "cancel request")
	cn, err := dial(ctx, c, network, d.place)
	if err != nil {
		end(err)
		return nil, err
	}
	return &cancelConn{cn, end}, nil
}

// cancelConn ends the phase of a cancel request when it is closed.
type cancelConn struct {
	*conn
	end func(error)
}

func (cn *cancelConn) Close() error {
	cn.end(nil)
	return cn.conn.Close()
}
