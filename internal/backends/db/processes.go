package dbbackend

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// showProcesslist cuts the SQL after 100 characters unless FULL is said, as MySQL does.
func (s *session) showProcesslist(_ context.Context, args []string) (*mysql.Result, error) {
	columns := []string{"Id", "User", "Host", "db", "Command", "Time", "State", "Info"}
	var rows [][]any
	for _, p := range s.db.processes() {
		info := p.info
		if args[0] == "" && len(info) > 100 {
			info = info[:100]
		}
		command := "Query"
		if info == "" {
			command = "Sleep"
		}
		// As bytes, because go-mysql makes NULL of an empty string.
		state := []byte(p.state)
		seconds := int64(time.Since(p.since).Seconds())
		rows = append(rows, []any{p.id, dbUser, p.host, orNull(p.schema), command, seconds, state, orNull(info)})
	}
	return table(columns, rows)
}

// selectTagged answers the query of [ProcessList].
func (s *session) selectTagged(context.Context, []string) (*mysql.Result, error) {
	var rows [][]any
	for _, p := range s.db.processes() {
		if p.id != s.id && runTag(p.info) != "" {
			rows = append(rows, []any{p.info})
		}
	}
	return table([]string{"INFO"}, rows)
}

// process is what the others see of a session.
type process struct {
	id                        uint32
	host, schema, info, state string
	since                     time.Time
}

// processes returns all of them, the oldest connection first.
func (db *database) processes() []process {
	db.sessionsMu.Lock()
	defer db.sessionsMu.Unlock()
	var all []process
	for _, id := range slices.Sorted(maps.Keys(db.sessions)) {
		all = append(all, db.sessions[id].process())
	}
	return all
}

func (s *session) process() process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return process{id: s.id, host: s.host, schema: s.schema, info: s.info, state: s.state, since: s.since}
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}
