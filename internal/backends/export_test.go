package backends

import (
	"net"
	"time"
)

// For tests only: the database with its times shortened, and the pieces that are fuzzed.
var StartDBWith = startDB

// ServeCache serves one connection from a cache of that many bytes and returns how many it holds then.
func ServeCache(c net.Conn, limit int, longest time.Duration) (held int) {
	s, err := listen("cache", Options{})
	if err != nil {
		panic(err)
	}
	defer s.Close()
	served := &cache{ctx: s.ctx, jobs: s.jobs, store: newStore(limit), longest: longest}
	served.serve(c)
	_, held, _ = served.store.sizes()
	return held
}

func ParseStatement(sql string) (text, run string, limit time.Duration) {
	st := parseStatement(sql)
	return st.text, st.run, st.limit
}

func ParseDelay(text string, longest time.Duration) (time.Duration, error) {
	return parseDelay(text, longest)
}
