package lab

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"gotimeout/handlers"
	postgresbackend "gotimeout/internal/backends/postgres"
	"gotimeout/internal/badnet/private"
	"gotimeout/slowops"
	"gotimeout/strategies"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// postgresOp queries a PostgreSQL by pgx.
type postgresOp struct {
	PostgresURL   string `name:"postgres-url" env:"POSTGRES_URL" addon:"DATABASE_URL" secret:"url" placeholder:"URL" help:"A real PostgreSQL in the place of the embedded one: postgres://user:pass@host:5432/db, or host=/run/postgresql dbname=db. The embedded one takes the user lab without a password, for any database; the log has its URL."`
	PostgresQuery string `name:"postgres-query" env:"GOTIMEOUT_POSTGRES_QUERY" placeholder:"STATEMENT" secret:"" help:"Your own call as the op postgres: this statement on the database of --postgres-url, its rows read to the end, in a read-only transaction."`
	PostgresWrite bool   `name:"postgres-write" env:"GOTIMEOUT_POSTGRES_WRITE" help:"Let --postgres-query change the database: without the flag its transaction is read-only."`

	cfg      *pgxpool.Config // nil is the embedded database
	timeouts map[string]time.Duration
}

// Read reads the URL of the real database: of the flag or POSTGRES_URL, or of the variable that
// a PaaS has set.
func (o *postgresOp) Read(getenv func(string) string) (notes []string, err error) {
	if o.PostgresURL != "" {
		if o.cfg, err = slowops.ParsePostgres(o.PostgresURL); err != nil {
			return nil, fmt.Errorf("--postgres-url (POSTGRES_URL) can't be used: %w", err)
		}
	} else if text := getenv("DATABASE_URL"); ofPostgres(text) {
		if o.cfg, err = slowops.ParsePostgres(text); err != nil {
			return nil, fmt.Errorf("DATABASE_URL can't be used: %w; or leave it, and name the database by POSTGRES_URL", err)
		}
		o.PostgresURL = text
		notes = append(notes, "the PostgreSQL is that of DATABASE_URL")
	}
	switch {
	case o.PostgresQuery != "" && o.cfg == nil:
		return nil, errors.New("--postgres-query (GOTIMEOUT_POSTGRES_QUERY) is of a database of your own, and there is none: name it by --postgres-url")
	case o.PostgresQuery == "" && o.PostgresWrite:
		return nil, errors.New("--postgres-write (GOTIMEOUT_POSTGRES_WRITE) is of an own statement, and there is none: give it by --postgres-query")
	case o.cfg == nil:
		return nil, nil
	}
	return append(notes, o.takeTimeouts()...), nil
}

// ofPostgres reports whether a URL is one of PostgreSQL's.
func ofPostgres(text string) bool {
	return strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")
}

// takeTimeouts takes the timeouts out of the URL, because there they would cut the calls
// of every strategy.
func (o *postgresOp) takeTimeouts() (notes []string) {
	o.timeouts = map[string]time.Duration{}
	if d := o.cfg.ConnConfig.ConnectTimeout; d > 0 {
		notes = append(notes, takenOut("PostgreSQL's URL", "connect_timeout", d, "connect_timeout"))
		o.timeouts["connect_timeout"], o.cfg.ConnConfig.ConnectTimeout = d, 0
	}
	if text, given := o.cfg.ConnConfig.RuntimeParams["statement_timeout"]; given {
		notes = append(notes, fmt.Sprintf("statement_timeout=%s is taken out of PostgreSQL's URL, where it would cut every strategy", text))
		delete(o.cfg.ConnConfig.RuntimeParams, "statement_timeout")
	}
	return notes
}

func (o *postgresOp) ownName() string {
	if o.PostgresQuery == "" {
		return ""
	}
	return "a statement on " + o.server().Addr
}

func (o *postgresOp) server() *private.Server {
	if o.cfg == nil {
		return nil
	}
	network, addr := pgconn.NetworkAddress(o.cfg.ConnConfig.Host, o.cfg.ConnConfig.Port)
	return &private.Server{Network: network, Addr: addr}
}

func (o *postgresOp) open(l *Lab) (handlers.Op, error) {
	b, err := l.backend("postgres", o.server(), postgresbackend.Start)
	if err != nil {
		return handlers.Op{}, err
	}
	cfg := o.cfg
	if b.embedded != nil {
		b.user = postgresbackend.User
		url := "postgres://" + b.user + "@" + b.addr + "/lab?sslmode=disable"
		if cfg, err = slowops.ParsePostgres(url); err != nil {
			return handlers.Op{}, err
		}
		clear(cfg.ConnConfig.RuntimeParams) // of the variables of libpq, which are meant for another server
		cfg.ConnConfig.ConnectTimeout, cfg.ConnConfig.ValidateConnect = 0, nil
		b.about = []any{"user", b.user, "url", url}
	}
	client := slowops.NewPostgres(cfg, 0)
	client.Via, client.Statement, client.Write = b.via, o.PostgresQuery, o.PostgresWrite
	l.pool(b, client)
	b.do = client.Do
	if b.embedded == nil {
		if err := watchPostgres(l, b, cfg); err != nil {
			return handlers.Op{}, err
		}
	}
	op := handlers.Op{
		Name: b.name, Doc: "A PostgreSQL query by pgx: SELECT pg_sleep, or with work=cpu a loop. Cancelled, pgx ends the query in the server too.",
		Settings: map[strategies.Family]string{
			strategies.AroundCall: "pgxpool.Pool.Query",
			strategies.InBackend:  "statement_timeout",
		},
		Timeouts: o.timeouts,
		Noun:     "PostgreSQL", Verbs: map[string]string{slowops.WorkCPU: "computed"},
		Settle: 2500 * time.Millisecond, // pgx's pool looks once a second for connections that are idle for longer
		Dials:  true, Works: []string{slowops.WorkSleep, slowops.WorkCPU}, Reports: 1, Seen: true,
		Params: []handlers.Param{{
			Name: "cancel", Doc: "pgx ends the read and closes the connection (close), asks the server and closes too (request), or waits for the server and keeps the connection (grace)",
			Values: slowops.Cancels(),
		}},
		Lacks: map[string]string{
			"tls_timeout":    "pgx has connect_timeout alone, which bounds the TLS handshake too",
			"header_timeout": "PostgreSQL's protocol has no headers, and pgx has connect_timeout alone",
			"read_timeout":   "pgx has connect_timeout alone: a context or statement_timeout bounds a query",
		},
		Busy:  func(c slowops.Call) bool { return b.embedded != nil && c.Work == slowops.WorkCPU && c.Delay > 0 },
		Parts: []handlers.Part{b.do},
	}
	if o.PostgresQuery != "" {
		ready := slowops.NewPostgres(cfg, 0) // queries SELECT 1
		ready.Via = b.via
		l.pool(b, ready)
		b.health = ready.Do
		l.makeOwn(&op, o.ownName())
	}
	return op, nil
}

// watchPostgres watches the queries of a real PostgreSQL by its pg_stat_activity.
func watchPostgres(l *Lab, b *backend, cfg *pgxpool.Config) error {
	network, addr := pgconn.NetworkAddress(cfg.ConnConfig.Host, cfg.ConnConfig.Port)
	via, err := l.direct(network, addr)
	if err != nil {
		return err
	}
	looks := slowops.NewPostgres(cfg, 1) // a pool of its own, so that a read and a run don't wait for each other
	looks.Via = via
	l.atClose(looks.Close)
	pool, err := looks.Pool(slowops.CancelClose)
	if err != nil {
		return fmt.Errorf("--postgres-url (POSTGRES_URL) can't be used: %w", err)
	}
	l.watchQueries(b, postgresbackend.Look(pool), func(err error) bool {
		var answer *pgconn.PgError
		return errors.As(err, &answer)
	})
	return nil
}
