package lab_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/lab"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// settings are those of a small lab.
var settings = lab.Settings{
	MaxDelay: time.Second, MaxTimeout: time.Second, MaxInFlight: 10, MaxAbandoned: 10, Receipts: 10,
}

// A lab of stand-ins is ready, says how to reach its database, and leaves nothing
// behind when it is closed.
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

// The op that calls every backend is made of those that have one.
func TestAll(t *testing.T) {
	l, err := lab.Open(t.Context(), settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	all := l.Ops[len(l.Ops)-1]
	if all.Name != "all" || all.Doc != "http, cache and db at once." || len(all.Parts) != 3 || all.Reports != 3 || !all.Seen ||
		!strings.HasSuffix(all.Lacks["read_timeout"], "ask for op=http, cache or db") {
		t.Errorf("%+v", all)
	}
}
