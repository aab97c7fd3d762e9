package replay

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net/http"
	"strings"
	"sync"
	"time"
)

func timeoutHandlerPanic() Experiment {
	return Experiment{
		ID: "golang-34608", Title: "http.TimeoutHandler loses a panic that comes after the timeout",
		Issues:   []string{"https://go.dev/issue/34608", "https://go.dev/issue/27375"},
		Reported: "A panic of the handler after TimeoutHandler has answered is sent to a channel that nobody reads: neither the server's log nor a recover around TimeoutHandler has it.",
		Does:     "A handler panics after the timeout of 0.1 s has been answered. The server's log is searched for the panic for 2 s.",
		Remedy:   "Recover and log inside TimeoutHandler, around the handler itself.",
		run:      replayTimeoutHandlerPanic,
	}
}

func replayTimeoutHandlerPanic(ctx context.Context, remedy bool) (o Outcome, err error) {
	logged := new(lines)
	server := &http.Server{ErrorLog: log.New(logged, "", 0)}
	answered, panicked := make(chan struct{}), make(chan struct{})
	handler := func(http.ResponseWriter, *http.Request) {
		if remedy {
			defer func() {
				if v := recover(); v != nil {
					server.ErrorLog.Printf("http: panic serving: %v", v)
				}
			}()
		}
		defer close(panicked)
		<-answered
		panic("the handler's invariant is broken")
	}
	url, err := serve(server, http.TimeoutHandler(http.HandlerFunc(handler), 100*time.Millisecond, "").ServeHTTP)
	if err != nil {
		return o, err
	}
	status, _, err := get(ctx, http.DefaultClient, url)
	if err != nil {
		return o, err
	}
	close(answered)
	<-panicked
	found := false
	for end := time.Now().Add(2 * time.Second); !found && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		found = strings.Contains(logged.String(), "invariant")
	}
	where := map[bool]string{true: "the log has the panic", false: "nothing has the panic"}[found]
	return Outcome{Saw: fmt.Sprintf("The client got status %d; %s.", status, where), Reproduced: !found}, nil
}

// lines is a log that can be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
