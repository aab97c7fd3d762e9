package dbbackend

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// comResetConnection is a command that go-mysql does not name.
const comResetConnection = 0x1f

// HandleOtherCommand answers the commands that go-mysql leaves to its handler.
func (s *session) HandleOtherCommand(command byte, data []byte) error {
	switch command {
	case mysql.COM_CHANGE_USER:
		return s.changeUser(data)
	case comResetConnection:
		s.reset()
		return nil
	case mysql.COM_PROCESS_KILL:
		if len(data) < 4 {
			return mysql.NewDefaultError(mysql.ER_MALFORMED_PACKET)
		}
		_, err := s.query(fmt.Sprintf("KILL %d", binary.LittleEndian.Uint32(data)))
		return err
	}
	return mysql.NewDefaultError(mysql.ER_UNKNOWN_COM_ERROR)
}

func (s *session) HandleFieldList(string, string) ([]*mysql.Field, error) {
	return nil, mysql.NewDefaultError(mysql.ER_UNKNOWN_COM_ERROR)
}

// HandleStmtPrepare prepares a statement that is known with a number in the place of each parameter.
func (s *session) HandleStmtPrepare(query string) (params, columns int, _ any, err error) {
	text, params := bind(query, nil)
	f, _, err := find(parseStatement(text).text)
	if columns = f.columns; columns == anyNumber {
		columns = strings.Count(text, "@@")
	}
	return params, columns, nil, err
}

// HandleStmtExecute carries out a prepared statement as the text that it is with its arguments.
func (s *session) HandleStmtExecute(_ any, query string, args []any) (*mysql.Result, error) {
	text, _ := bind(query, args)
	t, err := s.query(text)
	if err != nil {
		// go-mysql would wrap the error, and then answer 1105. So the answer is written here, and the result is one that
		// go-mysql takes for a written one.
		written := &mysql.Resultset{Fields: []*mysql.Field{{}}, StreamingDone: true, Streaming: mysql.StreamingMultiple}
		return mysql.NewResult(written), s.conn.WriteValue(err)
	}
	return t.result(true)
}

func (s *session) HandleStmtClose(any) error { return nil }

// bind puts the arguments in the places of a statement's parameters, or numbers where there are no arguments.
func bind(query string, args []any) (text string, params int) {
	var b strings.Builder
	for len(query) > 0 {
		n, _ := nextToken(query)
		token := query[:n]
		query = query[n:]
		if token == "?" {
			token = "1"
			if params < len(args) {
				token = literal(args[params])
			}
			params++
		}
		b.WriteString(token)
	}
	return b.String(), params
}

// literal returns an argument as SQL.
func literal(arg any) string {
	switch v := arg.(type) {
	case nil:
		return "NULL"
	case mysql.TypedBytes:
		return literal(v.Bytes)
	case []byte:
		if _, err := strconv.ParseFloat(string(v), 64); err == nil {
			return string(v)
		}
		return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(string(v)) + "'"
	case float32, float64:
		text, _ := mysql.FormatTextValue(v)
		return string(text)
	}
	return fmt.Sprint(arg)
}

func (s *session) beginTransaction(context.Context, []string) (*table, error) {
	s.conn.SetInTransaction()
	return nil, nil
}

func (s *session) endTransaction(context.Context, []string) (*table, error) {
	s.conn.ClearInTransaction()
	return nil, nil
}
