package slowops

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"net"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

// noLimit is a number of idle connections that is never reached. 0 would keep none.
const noLimit = 1 << 20

// maxPools bounds the number of pools, which differ by their timeouts.
const maxPools = 8

// bounds are those that a connection has from its begin: two timeouts of a DSN, which are
// timeout, and readTimeout with writeTimeout; and the limit of the server for a statement.
type bounds struct{ dial, io, server time.Duration }

func boundsOf(c *Call) bounds {
	return bounds{cmp.Or(c.ConnectTimeout, c.IOTimeout), cmp.Or(c.ReadTimeout, c.IOTimeout), c.ServerLimit}
}

// pools has a pool of connections for each value of bounds, because the driver takes its
// timeouts only from the DSN.
type pools struct {
	cfg      *mysql.Config
	maxConns int
	maxIdle  int // of all pools

	mu   sync.Mutex
	open map[bounds]*pool
}

type pool struct {
	db     *sql.DB
	bounds bounds
	users  int
	used   time.Time
}

// take returns the pool for b, and opens one if there is none. Each of its connections
// begins with the statements of first. The caller must give the pool back.
func (ps *pools) take(via string, first []string, b bounds) (*pool, error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.open[b]
	if p == nil {
		db, err := openDB(ps.cfg, via, first, b, ps.maxConns)
		if err != nil {
			return nil, err
		}
		if ps.open == nil {
			ps.open = map[bounds]*pool{}
		}
		p = &pool{db: db, bounds: b}
		ps.open[b] = p
		for _, each := range ps.open {
			each.db.SetMaxIdleConns(ps.maxIdle / len(ps.open))
		}
	}
	p.users++
	p.used = time.Now()
	return p, nil
}

// connect takes a connection of the pool for c, which then holds it.
func (p *pool) connect(ctx context.Context, c *Call) (db *sql.Conn, in *mysqlConn, err error) {
	if db, err = p.db.Conn(context.WithValue(ctx, callKey{}, c)); err != nil {
		return nil, nil, err
	}
	_ = db.Raw(func(driverConn any) error { in = driverConn.(*mysqlConn); return nil })
	if in.held.holder.Load() != c {
		in.held.hold(c)
		call(c.Reused)
	}
	return db, in, nil
}

func (ps *pools) give(p *pool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p.users--
	ps.evict()
}

// evict closes unused pools until maxPools are left, in the order of their last use.
// The pool without a timeout stays.
func (ps *pools) evict() {
	for len(ps.open) > maxPools {
		var oldest *pool
		for _, p := range ps.open {
			if p.bounds != (bounds{}) && p.users == 0 && (oldest == nil || p.used.Before(oldest.used)) {
				oldest = p
			}
		}
		if oldest == nil {
			return
		}
		delete(ps.open, oldest.bounds)
		oldest.db.Close()
	}
}

func (ps *pools) close() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, p := range ps.open {
		p.db.Close()
	}
	ps.open = nil
}

func openDB(cfg *mysql.Config, via string, first []string, b bounds, maxConns int) (*sql.DB, error) {
	cfg = cfg.Clone()
	cfg.Logger = &mysql.NopLogger{} // the errors have the text that the driver would log
	at := place{cfg.Addr, via}
	if via != "" {
		cfg.Net = "tcp" // for a Unix socket the driver would send the password in clear text
	}
	cfg.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialMySQL(ctx, network, at)
	}
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = b.dial, b.io, b.io
	inner, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector{inner, first, b})
	db.SetMaxOpenConns(maxConns)
	db.SetConnMaxIdleTime(idleTimeout)
	return db, nil
}

// connector keeps the network connection beside the driver's connection, which hides it.
type connector struct {
	driver.Connector
	first  []string
	bounds bounds
}

// callKey is the context key of the call for which database/sql dials.
type callKey struct{}

// slotKey is the context key of the greeted that gets the connection of dialMySQL.
type slotKey struct{}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	var in greeted
	dc, err := c.Connector.Connect(context.WithValue(ctx, slotKey{}, &in))
	held := in.conn
	switch {
	case err != nil && held == nil && c.bounds.dial > 0 && ctx.Err() == nil && isTimeout(err):
		return nil, &Failure{code: connectTimeout, within: c.bounds.dial, err: err}
	case err != nil:
		return nil, withCause(err, held, c.bounds.io)
	}
	dbConn := &mysqlConn{driverConn: dc.(driverConn), held: held, id: in.id}
	for _, statement := range c.first {
		if _, err := dbConn.ExecContext(ctx, statement, nil); err != nil {
			_ = dbConn.Close()
			return nil, withCause(err, held, c.bounds.io)
		}
	}
	return dbConn, nil
}

func dialMySQL(ctx context.Context, network string, at place) (net.Conn, error) {
	c, ok := ctx.Value(callKey{}).(*Call)
	if !ok {
		c = new(Call) // a user of DB, or database/sql dials for any waiting call
	}
	cn, err := dialPhases(ctx, c, "db", network, at)
	if err != nil {
		return nil, err
	}
	in := ctx.Value(slotKey{}).(*greeted)
	in.conn = cn
	return in, nil
}

// greeted is a connection that keeps the id that the server's greeting gives it. The driver
// drops the id, and SELECT CONNECTION_ID() would be a further round trip.
type greeted struct {
	*conn
	id   uint32 // 0 until the greeting has been read, or where it has no id
	head []byte // what was read until then
}

func (g *greeted) Read(b []byte) (int, error) {
	n, err := g.conn.Read(b)
	const longest = 300 // of a greeting up to the id
	if g.id == 0 && len(g.head) < longest {
		g.head = append(g.head, b[:min(n, longest)]...)
		g.id = connectionID(g.head)
	}
	return n, err
}

// connectionID returns the id in a greeting, or 0: after four bytes of header come the version
// of the protocol, the server's version up to a zero, and the id.
func connectionID(greeting []byte) uint32 {
	const header, protocol = 4, 10
	if len(greeting) <= header || greeting[header] != protocol {
		return 0
	}
	_, rest, _ := bytes.Cut(greeting[header+1:], []byte{0})
	if len(rest) < 4 {
		return 0
	}
	return binary.LittleEndian.Uint32(rest)
}

// driverConn has every interface of go-sql-driver's connection that database/sql uses.
type driverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

type mysqlConn struct {
	driverConn
	held *conn
	id   uint32 // of the session in the server, 0 is unknown
}
