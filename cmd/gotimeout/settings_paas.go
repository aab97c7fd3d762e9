package main

import (
	"fmt"
	"strings"

	"gotimeout/slowops"
)

// readDatabase reads which database is a real one: the flag's or MYSQL_DSN's, or
// what a PaaS's add-ons have set. Theirs may be of another kind, for another
// program: that is left alone, and said.
func (s *serveCmd) readDatabase(out *settings, getenv func(string) string) (err error) {
	if s.DBDSN != "" {
		if out.db, err = slowops.ParseDSN(s.DBDSN); err != nil {
			return fmt.Errorf("--db-dsn (MYSQL_DSN) can't be used: %w", err)
		}
	}
	for _, name := range []string{"JAWSDB_URL", "DATABASE_URL"} {
		switch text := getenv(name); {
		case text == "" || out.db != nil:
		case !strings.HasPrefix(text, "mysql://"): // which may hold a password wherever it likes
			out.notes = append(out.notes, name+" is ignored: it is no mysql:// URL, and this lab's database is a MySQL; MYSQL_DSN names one")
		default:
			if out.db, err = slowops.ParseDSN(text); err != nil {
				return fmt.Errorf("%s can't be used: %w; or leave it, and name the database by MYSQL_DSN", name, err)
			}
			out.notes = append(out.notes, "the database is that of "+name)
		}
	}
	if getenv("MEMCACHIER_SERVERS") != "" && s.CacheAddr == "" {
		out.notes = append(out.notes, "MEMCACHIER_SERVERS is ignored: it wants a login by SASL, which gomemcache doesn't speak; MEMCACHED_ADDR names a memcached without one")
	}
	return nil
}
