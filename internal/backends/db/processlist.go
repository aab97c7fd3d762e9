package dbbackend

import (
	"context"
	"database/sql"
	"fmt"

	"gotimeout/internal/backends"
)

// lookSQL lists the queries of all runs, without itself, and the sessions whose query the server did not show: MariaDB shows
// the state Busy and no query for a session that it can't lock. MySQL and MariaDB know the statement, and so does the database of
// [Start].
const lookSQL = "SELECT ID, STATE, INFO FROM information_schema.processlist WHERE (INFO LIKE '%gotimeout run=%' OR STATE = 'Busy') AND ID <> CONNECTION_ID()"

// Look returns the look into the process list of a MySQL or MariaDB. It needs the privilege PROCESS to see the queries of other
// users.
func Look(db *sql.DB) backends.Look {
	return func(ctx context.Context) (s backends.Sessions, err error) {
		rows, err := db.QueryContext(ctx, lookSQL)
		if err != nil {
			return s, fmt.Errorf("read the process list: %w", err)
		}
		defer rows.Close()
		s = backends.Sessions{Of: map[string]int64{}, Busy: map[int64]bool{}}
		for rows.Next() {
			var id int64
			var state, info sql.NullString
			if err := rows.Scan(&id, &state, &info); err != nil {
				return s, fmt.Errorf("read the process list: %w", err)
			}
			if run := backends.RunTag(info.String); run != "" {
				s.Of[run] = id
			} else if state.String == "Busy" {
				s.Busy[id] = true
			}
		}
		return s, rows.Err()
	}
}
