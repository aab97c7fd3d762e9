package samples_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/samples"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Each sample answers 202 once the stream has stored its call, and 503 when the stream is full.
func TestOffload(t *testing.T) {
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server is not ready")
	}
	closed := make(chan bool)
	conn, err := nats.Connect("", nats.InProcessServer(s), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { conn.Close(); <-closed }()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	handlers := map[string]http.Handler{
		"http": samples.OffloadHTTP(js, "call", time.Minute), "cache": samples.OffloadCache(js, "call", time.Minute),
		"db": samples.OffloadDB(js, "call", time.Minute), "postgres": samples.OffloadPostgres(js, "call", time.Minute),
		"redis": samples.OffloadRedis(js, "call", time.Minute),
		"grpc":  samples.OffloadGRPC(js, "call", time.Minute), "cpu": samples.OffloadCPU(js, "call", time.Minute),
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "JOBS", Subjects: []string{"jobs.>"}, MaxMsgs: int64(len(handlers)), Discard: jetstream.DiscardNew,
	})
	if err != nil {
		t.Fatal(err)
	}
	for op, handler := range handlers {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		id := strings.TrimPrefix(w.Header().Get("Location"), "/jobs/")
		m, err := stream.GetLastMsgForSubject(t.Context(), "jobs."+op+"."+id)
		if w.Code != http.StatusAccepted || err != nil || string(m.Data) != "call" {
			t.Errorf("%s: %d, %v, %+v", op, w.Code, err, m)
		}
	}
	w := httptest.NewRecorder()
	handlers["http"].ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("a full stream: %d, %v", w.Code, w.Header())
	}
}
