package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/internal/backends"
	"gotimeout/internal/backends/backendtest"
	dbbackend "gotimeout/internal/backends/db"
	"gotimeout/internal/lab"
	"gotimeout/internal/prose"
	"gotimeout/slowops"

	"github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"
)

// childStart is the variable that makes the start of each child as long as it says.
const childStart = "GOTIMEOUT_TEST_CHILD_START"

func TestMain(m *testing.M) {
	if lab.IsChild(os.Args) {
		if start, err := time.ParseDuration(os.Getenv(childStart)); err == nil {
			time.Sleep(start)
		}
		if err := lab.Child(context.Background(), os.Stdin, os.Stdout); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// settings is the configuration of a small lab.
var settings = lab.Settings{
	MaxDelay: 4 * time.Second, MaxTimeout: 10 * time.Second, MaxInFlight: 10, MaxAbandoned: 10, Receipts: 10,
}

// A lab of stand-ins is ready, logs how to connect to its database, and leaves nothing
// behind after Close.
func TestOpen(t *testing.T) {
	var log strings.Builder
	l, err := lab.Open(t.Context(), settings, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, b := range l.Lab.Backends(t.Context()) {
		if !b.Ready || !b.Embedded || b.Working == nil {
			t.Errorf("%+v", b)
		}
	}
	if !strings.Contains(log.String(), "name=db embedded=true") || !strings.Contains(log.String(), "dsn=lab@tcp(127.0.0.1:") {
		t.Errorf("the log lacks the database:\n%s", &log)
	}
	if l.Ledger.Limits().Busy < 2 {
		t.Errorf("limits %+v", l.Ledger.Limits())
	}
}

// The op all calls the parts of every op that has a backend and doesn't stand apart.
func TestAll(t *testing.T) {
	l, err := lab.Open(t.Context(), settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	all := l.Ops[len(l.Ops)-1]
	var names []string
	for _, op := range l.Ops[:len(l.Ops)-1] {
		if op.Dials && !op.Apart {
			names = append(names, op.Name)
		}
	}
	if all.Name != "all" || all.Doc != prose.And(names)+" at once." || len(all.Parts) != len(names) || all.Reports != len(names) || !all.Seen ||
		!strings.HasSuffix(all.Lacks["read_timeout"], "ask for op="+prose.Or(names)) {
		t.Errorf("%+v", all)
	}
}

// The timeouts of a DSN don't cut calls of strategies outside the client. io-timeout uses
// them where the run has no timeout of the same phase.
func TestTimeoutsOfADSN(t *testing.T) {
	standIn, err := dbbackend.Start(backends.Options{MaxDelay: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer standIn.Close()
	for name, dsn := range map[string]func(*testing.T) string{
		"embedded": func(*testing.T) string { return "lab@tcp(" + standIn.Addr + ")/lab" },
		"real":     func(t *testing.T) string { return backendtest.RealServer(t, "MYSQL_DSN") },
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := mysql.ParseDSN(dsn(t))
			if err != nil {
				t.Fatal(err)
			}
			with := settings
			with.Ops = lab.Ops()
			notes, err := with.Ops[2].Read(func(name string) string {
				return map[string]string{"DATABASE_URL": fmt.Sprintf("mysql://%s:%s@%s/%s?readTimeout=200ms&timeout=9s&writeTimeout=8s", cfg.User, cfg.Passwd, cfg.Addr, cfg.DBName)}[name]
			})
			if err != nil || len(notes) != 4 || !strings.HasPrefix(notes[2], "readTimeout=200ms is taken out of the database's DSN") {
				t.Fatalf("%q, %v", notes, err)
			}
			l, err := lab.Open(t.Context(), with, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			var all sync.WaitGroup
			for path, want := range map[string]string{
				"/baseline?":                         "200 ",
				"/context-cancel?":                   "200 ",
				"/io-timeout?":                       "504 read_timeout",
				"/io-timeout?read_timeout=8s&":       "200 ",
				"/io-timeout?read_timeout=300ms&":    "504 read_timeout",
				"/goroutine-abandon?ctx=deaf&op=db&": "200 ",
			} {
				if !strings.Contains(path, "op=") {
					path += "op=db&"
				}
				all.Go(func() {
					w := httptest.NewRecorder()
					l.Routes().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path+"delay=2s&timeout=10s", nil))
					var answer struct{ Error struct{ Code string } }
					if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
						t.Error(err)
					}
					if got := fmt.Sprint(w.Code, " ", answer.Error.Code); got != want {
						t.Errorf("%s: %s, want %s: %s", path, got, want, w.Body)
					}
				})
			}
			all.Wait()
		})
	}
}

// However many ask at once whether the backends are ready, each is looked at by one check at a time, and an
// answer is of a check that began after its question.
func TestChecksAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks, up := 0, false
		health := lab.CheckedBy(func(context.Context, slowops.Call) error {
			looks++
			is := up
			time.Sleep(time.Second)
			if !is {
				return errors.New("down")
			}
			return nil
		})
		var asking sync.WaitGroup
		ask := func(want bool) {
			asking.Go(func() {
				if got := health(t.Context())[0].Ready; got != want {
					t.Errorf("ready %v, want %v", got, want)
				}
			})
		}
		ask(false)
		time.Sleep(time.Second / 2)
		synctest.Wait() // the first look has read it
		up = true
		for range 100 {
			ask(true)
		}
		asking.Wait()
		if looks != 2 {
			t.Errorf("%d looks, want 2", looks)
		}
	})
}
