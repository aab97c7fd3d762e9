package dbbackend

import (
	"context"
	"regexp"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// UseDB accepts any name.
func (s *session) UseDB(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.schema = name
	return nil
}

func (s *session) use(_ context.Context, args []string) (*table, error) { return nil, s.UseDB(args[0]) }

func (s *session) selectDatabase(context.Context, []string) (*table, error) {
	return row("DATABASE()", orNull(s.process().schema))
}

func (s *session) selectUser(context.Context, []string) (*table, error) {
	return row("USER()", User+"@"+s.host)
}

// variables are the system variables that drivers and pools read when they connect. Those of the limits are of the session.
var variables = map[string]any{
	"auto_increment_increment": 1, "autocommit": 1, "character_set_client": "utf8mb4", "character_set_connection": "utf8mb4",
	"character_set_results": "utf8mb4", "character_set_server": "utf8mb4", "collation_connection": "utf8mb4_general_ci",
	"collation_server": "utf8mb4_general_ci", "init_connect": "", "interactive_timeout": 28800, "license": "MIT",
	"lower_case_table_names": 0, "max_allowed_packet": 64 << 20, "net_buffer_length": 16384, "net_write_timeout": 60,
	"performance_schema": 0, "sql_mode": "", "system_time_zone": "UTC", "time_zone": "SYSTEM", "transaction_isolation": "REPEATABLE-READ",
	"transaction_read_only": 0, "tx_isolation": "REPEATABLE-READ", "tx_read_only": 0, "version": dbVersion,
	"version_comment": "the stand-in of goTimeout", "wait_timeout": 28800,
}

var variable = regexp.MustCompile(`(?i)^\s*(@@(?:(?:session|global|local)\.)?(\w+))(?:\s+(?:AS\s+)?(\w+))?\s*$`)

func (s *session) selectVariables(_ context.Context, args []string) (*table, error) {
	t := &table{rows: [][]any{nil}}
	for item := range strings.SplitSeq(args[0], ",") {
		parts := variable.FindStringSubmatch(item)
		if parts == nil {
			return nil, mysql.NewError(mysql.ER_PARSE_ERROR, "This database reads only variables beside a variable, as in SELECT @@version, @@time_zone")
		}
		column, name := parts[1], strings.ToLower(parts[2])
		if parts[3] != "" {
			column = parts[3]
		}
		value, known := variables[name]
		switch name {
		case "max_execution_time":
			value, known = s.limits.execution.Milliseconds(), true
		case "max_statement_time":
			value, known = s.limits.statement.Seconds(), true
		case "autocommit":
			if !s.conn.IsAutoCommit() {
				value = 0
			}
		}
		if !known {
			return nil, mysql.NewDefaultError(mysql.ER_UNKNOWN_SYSTEM_VARIABLE, parts[2])
		}
		if text, ok := value.(string); ok {
			value = []byte(text) // go-mysql makes NULL of an empty string
		}
		t.columns, t.rows[0] = append(t.columns, column), append(t.rows[0], value)
	}
	return t, nil
}
