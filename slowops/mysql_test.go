package slowops_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	proto "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/server"
	"github.com/go-sql-driver/mysql"

	dbbackend "gotimeout/internal/backends/db"
	"gotimeout/slowops"
)

// fakeDB answers every query alike, and keeps it.
type fakeDB struct {
	server.EmptyHandler
	answer  int
	mu      sync.Mutex
	queries []string
}

func startFakeDB(t *testing.T, answer int) (*fakeDB, *slowops.MySQL) {
	t.Helper()
	db := &fakeDB{answer: answer}
	protocol := server.NewServer("8.0.11", proto.DEFAULT_COLLATION_ID, proto.AUTH_NATIVE_PASSWORD, nil, nil)
	addr := db.serve(t, protocol, proto.AUTH_NATIVE_PASSWORD, "")
	return db, newMySQL(t, "lab@tcp("+addr+")/lab?maxAllowedPacket=1000", 0)
}

// serve lets the user lab in, with that kind of password.
func (db *fakeDB) serve(t *testing.T, protocol *server.Server, kind, password string) (addr string) {
	t.Helper()
	users := server.NewInMemoryAuthenticationHandler(kind)
	if err := users.AddUser("lab", password); err != nil {
		t.Fatal(err)
	}
	return serve(t, func(nc net.Conn) {
		c, err := protocol.NewCustomizedConn(nc, users, db)
		for err == nil {
			err = c.HandleCommand()
		}
	})
}

func (db *fakeDB) UseDB(string) error { return nil }

func (db *fakeDB) HandleQuery(query string) (*proto.Result, error) {
	db.mu.Lock()
	db.queries = append(db.queries, query)
	db.mu.Unlock()
	table, err := proto.BuildSimpleTextResultset([]string{"x"}, [][]any{{db.answer}})
	return proto.NewResult(table), err
}

func TestMySQLStatements(t *testing.T) {
	fake, db := startFakeDB(t, 1)
	if err := db.Do(t.Context(), slowops.Call{Run: "a1"}); err != nil {
		t.Error(err)
	}
	for _, work := range []string{"", slowops.WorkSleep} {
		err := db.Do(t.Context(), slowops.Call{Run: "b-2", Work: work, Delay: 300 * time.Millisecond})
		if !errors.Is(err, slowops.ErrCutShort) {
			t.Errorf("SLEEP answered 1: %v", err)
		}
	}
	err := db.Do(t.Context(), slowops.Call{Work: slowops.WorkCPU, Delay: time.Second})
	if err == nil || !strings.Contains(err.Error(), "Calibrate") {
		t.Errorf("without Calibrate: %v", err)
	}
	const sleep = "SELECT /* gotimeout run=b-2 */ SLEEP(0.3)"
	want := fmt.Sprint([]string{"SELECT /* gotimeout run=a1 */ 1", sleep, sleep})
	if got := fmt.Sprint(fake.queries); got != want {
		t.Errorf("asked %s\nwant  %s", got, want)
	}
}

func TestMySQLWrongAnswer(t *testing.T) {
	_, db := startFakeDB(t, 5)
	err := db.Do(t.Context(), slowops.Call{})
	if code(err) != "wrong_answer" || !strings.Contains(err.Error(), "SELECT 1 answered 5") {
		t.Errorf("%s: %v", code(err), err)
	}
}

func TestMySQLOverTheCap(t *testing.T) {
	db := newMySQL(t, lab(backend(t, dbbackend.Start, new(runs))), 0)
	told := new(hooks)
	err := db.Do(t.Context(), told.on(slowops.Call{Delay: long + time.Second}))
	var server *mysql.MySQLError
	if !errors.As(err, &server) || server.Number != proto.ER_WRONG_ARGUMENTS {
		t.Errorf("got %v", err)
	}
	told.want(t, 1, 0, 0) // a server's error leaves the connection as it was
}
