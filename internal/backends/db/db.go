// Package dbbackend stands in for MySQL. It is no database: it knows the handful of statements that the lab sends, and refuses
// any other with a list of them. Where a real MySQL or MariaDB takes its place, [ProcessList] finds out when a run's query has
// left that server's process list.
//
// A run's tag is the comment "/* gotimeout run=ID */". As in MySQL, BENCHMARK never notices that its client has left, and SLEEP
// notices at its next look, 5 s apart.
package dbbackend

import (
	"net"
	"sync"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/server"

	"gotimeout/internal/backends"
)

const (
	dbVersion = "8.0.11-gotimeout"
	dbUser    = "lab"
)

// Start starts a database that speaks MySQL's protocol to the user "lab", who has no password, under any database name.
// It knows the statements that a lab sends and answers error 1064, with the list of them, to any other.
//
// A BENCHMARK stops after four times MaxDelay with error 3024, as if the server had max_execution_time set to it.
func Start(o backends.Options) (*backends.Server, error) {
	return start(o, 5*time.Second, 10*time.Second)
}

// start takes the times that tests shorten: how often SLEEP looks whether its client has left, which MySQL fixes at 5 s,
// and how long a client may take to log in.
func start(o backends.Options, poll, handshake time.Duration) (*backends.Server, error) {
	s, err := backends.Listen("db", o)
	if err != nil {
		return nil, err
	}
	users := server.NewInMemoryAuthenticationHandler(mysql.AUTH_NATIVE_PASSWORD)
	if err := users.AddUser(dbUser, ""); err != nil {
		return nil, err
	}
	db := &database{
		Server: s,
		// Not NewDefaultServer, which spends a quarter of a second on making keys for TLS.
		protocol:  server.NewServer(dbVersion, mysql.DEFAULT_COLLATION_ID, mysql.AUTH_NATIVE_PASSWORD, nil, nil),
		users:     users,
		longest:   o.MaxDelay,
		poll:      poll,
		handshake: handshake,
		sessions:  map[uint32]*session{},
	}
	s.ServeEach(db.serve)
	return s, nil
}

type database struct {
	*backends.Server
	protocol  *server.Server
	users     server.AuthenticationHandler
	longest   time.Duration
	poll      time.Duration
	handshake time.Duration

	sessionsMu sync.Mutex
	sessions   map[uint32]*session // by connection id
}

// serve logs a client in and answers its commands until it quits or leaves.
func (db *database) serve(nc net.Conn) {
	// go-mysql panics on an empty packet. The client that sends one loses its connection, and the lab goes on.
	defer func() { _ = recover() }()

	s := &session{db: db, client: backends.NewClient(nc), host: nc.RemoteAddr().String()}
	if err := nc.SetDeadline(time.Now().Add(db.handshake)); err != nil {
		return
	}
	c, err := db.protocol.NewCustomizedConn(s.client, db.users, s)
	if err != nil {
		return
	}
	if err := nc.SetDeadline(time.Time{}); err != nil {
		return
	}
	c.SetStatus(mysql.SERVER_STATUS_AUTOCOMMIT)
	s.id = c.ConnectionID()
	db.add(s)
	defer db.remove(s)
	for c.HandleCommand() == nil { // after COM_QUIT the next call fails
	}
}

func (db *database) add(s *session) {
	db.sessionsMu.Lock()
	defer db.sessionsMu.Unlock()
	s.since = time.Now()
	db.sessions[s.id] = s
}

func (db *database) remove(s *session) {
	db.sessionsMu.Lock()
	defer db.sessionsMu.Unlock()
	delete(db.sessions, s.id)
}

// session returns the session of a connection id, or nil.
func (db *database) session(id uint32) *session {
	db.sessionsMu.Lock()
	defer db.sessionsMu.Unlock()
	return db.sessions[id]
}
