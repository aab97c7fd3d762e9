package explain_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"gotimeout/internal/backends"
	"gotimeout/internal/backends/backendtest"
	dbbackend "gotimeout/internal/backends/db"
	"gotimeout/internal/explain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// firsts returns the texts of messages.
func firsts(messages []explain.Message) (texts []string) {
	for _, m := range messages {
		texts = append(texts, m.Texts[0])
	}
	return texts
}

func TestFind(t *testing.T) {
	for text, want := range map[string][]string{
		"i/o timeout": {"i/o timeout"},
		"I/O Timeout": {"i/o timeout"},
		`2026/11/28 12:00:00 worker 7: Get "http://a/b": dial tcp 10.0.0.1:80: i/o timeout; retrying`: {"dial tcp: i/o timeout"},
		"read tcp [::1]:40000->[::1]:80: i/o timeout":                                                 {"i/o timeout"},
		"invalid connection: read tcp 1.2.3.4:5->6.7.8.9:10: i/o timeout":                             {"i/o timeout", "invalid connection"},
		"at=error code=H12 desc=\"Request timeout\" method=GET":                                       {"H12"},
		"h12":  {"H12"},
		"3024": {"Error 3024"},
		"Error 3024 (HY000): Query execution was interrupted, maximum statement execution time exceeded": {"Error 3024", "Error 1317"},
		"57014": {"canceling statement due to statement timeout"},
		"ERROR: canceling statement due to user request (SQLSTATE 57014)": {"canceling statement due to statement timeout"},
		"context deadline exceeded (Client.Timeout exceeded while\n awaiting headers)": {
			"context deadline exceeded (Client.Timeout exceeded while awaiting headers)"},
		"awaiting headers":                {"context deadline exceeded (Client.Timeout exceeded while awaiting headers)"},
		"SHA12 of the file, 130240 bytes": nil, // neither H12 nor 3024
		"the disk is full":                nil,
		"to":                              nil,
		"":                                nil,
		" \n":                             nil,
	} {
		if got := firsts(explain.Find(text)); !slices.Equal(got, want) {
			t.Errorf("%q: found %q, want %q", text, got, want)
		}
	}
}

// Each message is whole, and each of its texts is found, also inside a longer line.
func TestMessages(t *testing.T) {
	var seen []string
	for _, m := range explain.Messages() {
		if m.From == "" || m.Do == "" || (m.Make == "") == (m.Otherwise == "") {
			t.Errorf("%q needs From, Do and one of Make and Otherwise", m.Texts)
		}
		for _, text := range m.Texts {
			if slices.Contains(seen, text) {
				t.Errorf("%q is there twice", text)
			}
			seen = append(seen, text)
			for _, line := range []string{text, "level=error msg=\"" + text + "\" took=1.2s", "x: " + text + ": y"} {
				if !slices.Contains(firsts(explain.Find(line)), m.Texts[0]) {
					t.Errorf("%q is not found in %q", m.Texts[0], line)
				}
			}
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add("dial tcp 127.0.0.1:80: i/o timeout")
	f.Add("h12")
	f.Fuzz(func(t *testing.T, text string) {
		if found := explain.Find(text); len(found) > len(explain.Messages()) {
			t.Errorf("%d messages", len(found))
		}
	})
}

// elsewhere are the messages that only other programs make, or that take minutes.
var elsewhere = []string{"connect: connection timed out", "Error 1205", "H12", "upstream timed out (110", "upstream request timeout", "Task timed out after", "WORKER TIMEOUT"}

// silence dials a host that does not answer: the dial ends with its context.
func silence(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Each message that no command makes is made here, but for those of elsewhere.
func TestMade(t *testing.T) {
	makes := map[string]func(t *testing.T) error{
		"operation was canceled": func(t *testing.T) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:1")
			return err
		},
		"net/http: request canceled while waiting for connection": func(t *testing.T) error {
			cancel := make(chan struct{})
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://nobody.example", nil)
			if err != nil {
				return err
			}
			//lint:ignore SA1019 the message is of this field
			req.Cancel = cancel
			transport := &http.Transport{DialContext: silence}
			time.AfterFunc(50*time.Millisecond, func() { close(cancel) })
			_, err = transport.RoundTrip(req)
			transport.CloseIdleConnections() // ends the dial
			return err
		},
		"memcache: connect timeout to": func(t *testing.T) error {
			client := memcache.New("127.0.0.1:1")
			client.Timeout, client.DialContext = 50*time.Millisecond, silence
			_, err := client.Get("key")
			return err
		},
		"context canceled": func(t *testing.T) error {
			server := silentServer(t)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+server, nil)
			if err != nil {
				return err
			}
			_, err = new(http.Transport).RoundTrip(req)
			return err
		},
		"driver: bad connection": func(t *testing.T) error {
			db := openDB(t)
			one, err := db.Conn(t.Context())
			if err != nil {
				return err
			}
			defer one.Close()
			var id int
			if err := one.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id); err != nil {
				return err
			}
			if _, err := db.ExecContext(t.Context(), fmt.Sprintf("KILL %d", id)); err != nil {
				return err
			}
			for range 1000 { // the first uses may find the connection still open
				if _, err = one.ExecContext(t.Context(), "SELECT 1"); errors.Is(err, driver.ErrBadConn) {
					break
				}
			}
			return err
		},
		"Error 1969": func(t *testing.T) error {
			_, err := openDB(t).ExecContext(t.Context(), "SET STATEMENT max_statement_time=0.02 FOR SELECT SLEEP(5)")
			return err
		},
		"redis: connection pool timeout": func(t *testing.T) error {
			client := redis.NewClient(&redis.Options{Addr: silentServer(t), PoolSize: 1, PoolTimeout: 50 * time.Millisecond, MaxRetries: -1, ReadTimeout: 2 * time.Second})
			defer client.Close()
			errs := make(chan error, 2)
			for range cap(errs) {
				go func() { errs <- client.Get(context.Background(), "key").Err() }()
			}
			first := <-errs // the other one has the connection
			<-errs
			return first
		},
	}
	for _, m := range explain.Messages() {
		text := m.Texts[0]
		f, made := makes[text]
		delete(makes, text)
		switch {
		case made && m.Make != "":
			t.Errorf("%q is made by a command", text)
		case made:
			t.Run(text, func(t *testing.T) {
				t.Parallel()
				if err := f(t); err == nil || !slices.Contains(firsts(explain.Find(err.Error())), text) {
					t.Errorf("%v is not found as %q", err, text)
				}
			})
		case m.Make == "" && !slices.Contains(elsewhere, text):
			t.Errorf("nothing makes %q", text)
		}
	}
	for text := range makes {
		t.Errorf("%q is not in the list", text)
	}
}

func openDB(t *testing.T) *sql.DB {
	t.Helper()
	server := backendtest.Start(t, dbbackend.Start, backends.Options{MaxDelay: time.Minute})
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr, config.Logger = dbbackend.User, "tcp", server.Addr, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

// silentServer takes connections and says nothing.
func silentServer(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, conn)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		for _, conn := range conns {
			conn.Close()
		}
	})
	return l.Addr().String()
}
