package dbbackend

import (
	"bytes"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/server"
)

// login lets the user lab in, who has no password. Any other user and any password is error 1045: go-mysql's own handlers answer
// 1449 to an unknown user, and close the connection of a known one with a wrong password.
type login struct{}

// Validate reports whether the plugin is known.
func (login) Validate(plugin string) bool { return plugin == mysql.AUTH_NATIVE_PASSWORD }

// GetCredential returns the same for each user, so that Authenticate decides.
func (login) GetCredential(string) (c server.Credential, found bool, err error) {
	return server.Credential{Passwords: []string{""}, AuthPluginName: mysql.AUTH_NATIVE_PASSWORD}, true, nil
}

func (login) OnAuthSuccess(*server.Conn) error  { return nil }
func (login) OnAuthFailure(*server.Conn, error) {}

// Authenticate checks the answer of a client that logs in.
func (login) Authenticate(c *server.Conn, _ string, answer []byte) error {
	without := len(answer) == 0 || bytes.Equal(answer, []byte{0}) // as libmysql sends it
	switch {
	case without && c.GetUser() == User:
		return nil
	case without:
		return server.ErrAccessDeniedNoPassword
	}
	return server.ErrAccessDenied
}

// changeUser answers COM_CHANGE_USER, by which pools make an old session a new one: the user's name up to a zero, the length of
// the answer to the challenge and the answer, and the name of the database up to a zero.
func (s *session) changeUser(data []byte) error {
	user, rest, there := bytes.Cut(data, []byte{0})
	if !there || len(rest) == 0 || len(rest) < 1+int(rest[0]) {
		return mysql.NewDefaultError(mysql.ER_MALFORMED_PACKET)
	}
	answer, rest := rest[1:1+int(rest[0])], rest[1+int(rest[0]):]
	if len(answer) > 0 || string(user) != User {
		s.denied = true
		with := map[bool]string{false: "NO", true: "YES"}[len(answer) > 0]
		return mysql.NewDefaultError(mysql.ER_ACCESS_DENIED_ERROR, user, s.host, with)
	}
	name, _, _ := bytes.Cut(rest, []byte{0})
	s.reset()
	return s.UseDB(string(name))
}

// reset makes the session as it was after the login, but for its database.
func (s *session) reset() {
	s.limits = limits{}
	s.conn.ClearInTransaction()
	s.conn.SetStatus(mysql.SERVER_STATUS_AUTOCOMMIT)
}
