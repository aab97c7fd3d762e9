package samples

import "database/sql"

// BaselineDB has no bound: without a context, and without a readTimeout in the DSN, the caller waits
// as long as the database takes.
func BaselineDB(db *sql.DB, query string) (result int, err error) {
	err = db.QueryRow(query).Scan(&result)
	return result, err
}
