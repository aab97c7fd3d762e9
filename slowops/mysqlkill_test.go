package slowops_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	dbbackend "gotimeout/internal/backends/db"
	"gotimeout/slowops"
)

func TestMySQLKillQuery(t *testing.T) {
	began := new(runs)
	for place, dsn := range map[string]func() string{
		"embedded": func() string { return lab(backend(t, dbbackend.Start, began)) },
		"real":     func() string { return "" },
	} {
		t.Run(place, func(t *testing.T) {
			dsn := dsn()
			if dsn == "" {
				dsn = realServer(t, "MYSQL_DSN")
			}
			op := newMySQL(t, dsn, 0)
			told, result := new(hooks), make(chan error, 1)
			c := told.on(slowops.Call{Run: "killed-" + place, Delay: 20 * time.Second})
			go func() { result <- op.Do(t.Context(), c) }()
			db, err := op.DB()
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "in the process list", func() bool { return process(t, db, c.Run) != "" })
			if _, err := db.ExecContext(t.Context(), "KILL QUERY "+process(t, db, c.Run)); err != nil {
				t.Fatal(err)
			}
			var server *mysql.MySQLError
			if err := <-result; !errors.Is(err, slowops.ErrCutShort) && !errors.As(err, &server) {
				t.Errorf("got %v", err)
			}
			told.want(t, 1, 0, 0)
		})
	}
}

// process returns the id of the connection whose query carries the run's tag.
func process(t *testing.T, db *sql.DB, run string) (id string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SHOW FULL PROCESSLIST")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	values := make([]sql.NullString, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(values[7].String, "/* gotimeout run="+run+" */") {
			id = values[0].String
		}
	}
	return id
}
