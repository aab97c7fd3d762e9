package samples

import (
	"database/sql"
	"time"

	"github.com/go-sql-driver/mysql"
)

// IOTimeoutDB uses the driver's own timeouts: timeout= and readTimeout= in a DSN. The
// error is mysql.ErrInvalidConn, and the query runs on in MySQL. Keep the pool for the
// life of the program: every query in it has this timeout.
func IOTimeoutDB(cfg *mysql.Config, query string, timeout time.Duration) (result int, err error) {
	cfg = cfg.Clone()
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = timeout, timeout, timeout
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return 0, err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	err = db.QueryRow(query).Scan(&result)
	return result, err
}
