package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"gotimeout/handlers"
	dbbackend "gotimeout/internal/backends/db"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/prose"
	"gotimeout/slowops"
	"gotimeout/strategies"

	"github.com/go-sql-driver/mysql"
)

// dbOp queries a MySQL by go-sql-driver.
type dbOp struct {
	DBDSN   string `name:"db-dsn" env:"MYSQL_DSN" addon:"JAWSDB_URL,DATABASE_URL" secret:"dsn" placeholder:"DSN" help:"A real MySQL or MariaDB in the place of the embedded one: user:pass@tcp(host:3306)/db or mysql://user:pass@host:3306/db. The embedded one takes the user lab without a password, for any database; the log has its DSN."`
	DBQuery string `name:"db-query" env:"GOTIMEOUT_DB_QUERY" placeholder:"STATEMENT" secret:"" help:"Your own call as the op db: this statement on the database of --db-dsn, its rows read to the end, in a read-only transaction."`
	DBWrite bool   `name:"db-write" env:"GOTIMEOUT_DB_WRITE" help:"Let --db-query change the database: without the flag its transaction is read-only."`

	cfg      *mysql.Config // nil is the embedded database
	timeouts map[string]time.Duration
}

// Read reads the DSN of the real database: of the flag or MYSQL_DSN, or of the variable that
// a PaaS's add-on has set. An add-on's database may be of another kind, for another
// program. The lab then ignores it, and a note says so.
func (o *dbOp) Read(getenv func(string) string) (notes []string, err error) {
	if o.DBDSN != "" {
		if notes, err = o.readDSN("the database's URL", o.DBDSN); err != nil {
			return nil, fmt.Errorf("--db-dsn (MYSQL_DSN) can't be used: %w", err)
		}
	}
	for _, name := range []string{"JAWSDB_URL", "DATABASE_URL"} {
		switch text := getenv(name); {
		case text == "" || o.cfg != nil || name == "DATABASE_URL" && ofPostgres(text): // the op postgres takes that one
		case !strings.HasPrefix(text, "mysql://"): // not quoted: another form may have a password anywhere
			notes = append(notes, name+" is ignored: it is no mysql:// URL, and this lab's database is a MySQL; MYSQL_DSN names one")
		default:
			o.DBDSN = text
			dropped, err := o.readDSN(name, text)
			if err != nil {
				return nil, fmt.Errorf("%s can't be used: %w; or leave it, and name the database by MYSQL_DSN", name, err)
			}
			notes = append(append(notes, "the database is that of "+name), dropped...)
		}
	}
	switch {
	case o.DBQuery != "" && o.cfg == nil:
		return nil, errors.New("--db-query (GOTIMEOUT_DB_QUERY) is of a database of your own, and there is none: name it by --db-dsn")
	case o.DBQuery == "" && o.DBWrite:
		return nil, errors.New("--db-write (GOTIMEOUT_DB_WRITE) is of an own statement, and there is none: give it by --db-query")
	}
	return append(notes, o.takeTimeouts()...), nil
}

func (o *dbOp) ownName() string {
	if o.DBQuery == "" {
		return ""
	}
	return "a statement on " + o.cfg.Addr
}

// readDSN reads a DSN or a URL. Its notes name the options that are not used.
func (o *dbOp) readDSN(name, text string) (notes []string, err error) {
	var dropped []string
	if o.cfg, dropped, err = slowops.ParseDSN(text); len(dropped) > 0 {
		notes = []string{fmt.Sprintf("%s has options that go-sql-driver doesn't know, and they are not used: %s; a system variable stands in a DSN, as in user:pass@tcp(host:3306)/db?sql_mode=ANSI", name, prose.And(dropped))}
	}
	return notes, err
}

// takeTimeouts takes the timeouts out of the DSN, because there they would cut the calls
// of every strategy.
func (o *dbOp) takeTimeouts() (notes []string) {
	if o.cfg == nil {
		return nil
	}
	o.timeouts = map[string]time.Duration{}
	for _, t := range []struct {
		name, parameter string
		value           *time.Duration
	}{
		{"timeout", "connect_timeout", &o.cfg.Timeout},
		{"readTimeout", "read_timeout", &o.cfg.ReadTimeout},
		{"writeTimeout", "read_timeout", &o.cfg.WriteTimeout}, // the lab has one timeout for both
	} {
		if *t.value == 0 {
			continue
		}
		notes = append(notes, takenOut("the database's DSN", t.name, *t.value, t.parameter))
		if o.timeouts[t.parameter] == 0 {
			o.timeouts[t.parameter] = *t.value
		}
		*t.value = 0
	}
	return notes
}

func (o *dbOp) server() *private.Server {
	if o.cfg == nil {
		return nil
	}
	return &private.Server{Network: o.cfg.Net, Addr: o.cfg.Addr}
}

func (o *dbOp) open(l *Lab) (handlers.Op, error) {
	b, err := l.backend("db", o.server(), dbbackend.Start)
	if err != nil {
		return handlers.Op{}, err
	}
	cfg := o.cfg
	if b.embedded != nil {
		b.user = dbbackend.User
		dsn := b.user + "@tcp(" + b.addr + ")/lab"
		if cfg, _, err = slowops.ParseDSN(dsn); err != nil {
			return handlers.Op{}, err
		}
		b.about = []any{"user", b.user, "dsn", dsn}
	}
	client := slowops.NewMySQL(cfg, 0)
	client.Via, client.Statement, client.Write = b.via, o.DBQuery, o.DBWrite
	l.pool(b, client)
	b.do = client.Do
	b.extra = func() any { return client.Speed() }
	if l.isChild() {
		var speed float64
		if err := json.Unmarshal(b.given, &speed); err != nil {
			return handlers.Op{}, err
		}
		client.SetSpeed(speed)
	}
	if b.embedded == nil {
		if err := watchMySQL(l, b, cfg); err != nil {
			return handlers.Op{}, err
		}
	}
	op := handlers.Op{
		Name: b.name, Doc: "A MySQL query: SELECT SLEEP, or with work=cpu SELECT BENCHMARK.",
		Settings: map[strategies.Family]string{
			strategies.AroundCall:   "db.QueryContext",
			strategies.InsideClient: "readTimeout in the DSN",
			strategies.InBackend:    "max_execution_time on MySQL or max_statement_time on MariaDB",
		},
		Timeouts: o.timeouts,
		Noun:     "the database", Verbs: map[string]string{slowops.WorkCPU: "computed"},
		First:  true,                    // the page begins with an op whose work goes on after the caller has left
		Settle: 2500 * time.Millisecond, // database/sql looks once a second for connections that are idle for longer
		Dials:  true, Works: []string{slowops.WorkSleep, slowops.WorkCPU}, Reports: 1, Seen: true,
		Lacks: map[string]string{
			"tls_timeout":    "go-sql-driver has timeout (of the dial), readTimeout and writeTimeout, and bounds its TLS handshake by readTimeout",
			"header_timeout": "MySQL's protocol has no headers, and go-sql-driver has timeout (of the dial), readTimeout and writeTimeout",
		},
		Busy:    func(c slowops.Call) bool { return b.embedded != nil && c.Work == slowops.WorkCPU && c.Delay > 0 },
		Prepare: func(ctx context.Context, c slowops.Call) error { return calibrate(ctx, client, c) },
		Parts:   []handlers.Part{b.do},
	}
	if o.DBQuery != "" {
		ready := slowops.NewMySQL(cfg, 0) // queries SELECT 1
		ready.Via = b.via
		l.pool(b, ready)
		b.health = ready.Do
		l.makeOwn(&op, o.ownName())
	}
	return op, nil
}

// calibrate measures the speed of BENCHMARK before the first run that needs it.
func calibrate(ctx context.Context, client *slowops.MySQL, c slowops.Call) error {
	if c.Work != slowops.WorkCPU || c.Delay == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, handlers.Prepare)
	defer cancel()
	if err := client.Calibrate(ctx); err != nil {
		// The error is not wrapped, because a timeout of the calibration is no timeout
		// of the run.
		return fmt.Errorf("the speed of the database could not be measured, which work=cpu needs (%v): is it up, see /readyz", err)
	}
	return nil
}

// watchMySQL watches the queries of a real MySQL or MariaDB by its process list.
func watchMySQL(l *Lab, b *backend, cfg *mysql.Config) error {
	via, err := l.direct(cfg.Net, cfg.Addr)
	if err != nil {
		return err
	}
	looks := slowops.NewMySQL(cfg, 1) // a pool of its own, so that a read and a run don't wait for each other
	looks.Via = via
	l.atClose(looks.Close)
	db, err := looks.DB()
	if err != nil {
		return fmt.Errorf("--db-dsn (MYSQL_DSN) can't be used: %w", err)
	}
	l.watchQueries(b, dbbackend.Look(db), func(err error) bool {
		var answer *mysql.MySQLError
		return errors.Is(err, slowops.ErrCutShort) || errors.As(err, &answer)
	})
	return nil
}
