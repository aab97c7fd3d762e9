package replay

import (
	"context"
	"database/sql"
	"time"

	"github.com/go-sql-driver/mysql"

	"gotimeout/internal/backends"
	dbbackend "gotimeout/internal/backends/db"
)

// openMySQL returns a pool of connections to addr, as an application opens it.
func openMySQL(addr string, set func(*mysql.Config)) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr, config.Logger = dbbackend.User, "tcp", addr, &mysql.NopLogger{}
	if set != nil {
		set(config)
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// startMySQL starts a database and opens a pool of at most conns connections to it, 0 for no bound.
func startMySQL(o backends.Options, conns int) (*sql.DB, *backends.Server, error) {
	o.MaxDelay = time.Minute
	server, err := dbbackend.Start(o)
	if err != nil {
		return nil, nil, err
	}
	db, err := openMySQL(server.Addr, nil)
	if err == nil {
		db.SetMaxOpenConns(conns)
	}
	return db, server, err
}

// query makes a query of one number, under a timeout; 0 is none.
func query(db *sql.DB, timeout time.Duration, statement string) (number int, err error) {
	ctx := context.Background()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	err = db.QueryRowContext(ctx, statement).Scan(&number)
	return number, err
}
