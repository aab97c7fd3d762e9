package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"
)

const (
	heartbeat    = 15 * time.Second // proxies cut a stream on which nothing comes
	writeTimeout = 10 * time.Second // for a message, to a caller who may have stopped to read
)

// stream is an answer that goes on: a stream of events, as a browser's
// EventSource reads it.
type stream struct {
	w  http.ResponseWriter
	to *http.ResponseController
}

// newStream begins one.
func newStream(w http.ResponseWriter) *stream {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events until it has many
	return &stream{w, http.NewResponseController(w)}
}

// send sends a message, each with its own timeout in the place of the server's
// for an answer. Its error means that the caller has left, or reads no more.
func (s *stream) send(message []byte) error {
	_ = s.to.SetWriteDeadline(time.Now().Add(writeTimeout)) // what has no deadline needs none
	if _, err := s.w.Write(message); err != nil {
		return err
	}
	return s.to.Flush()
}

// relay sends messages until there are no more or ctx is done, and a comment
// now and then, so that nobody takes the stream for dead.
func (s *stream) relay(ctx context.Context, messages <-chan []byte) (err error) {
	alive := time.NewTicker(heartbeat)
	defer alive.Stop()
	for err == nil {
		select {
		case next, more := <-messages:
			if !more {
				return nil
			}
			err = s.send(next)
		case <-alive.C:
			err = s.send([]byte(":\n\n"))
		case <-ctx.Done():
			return nil
		}
	}
	return err
}

// message is an event with its data.
func message(event string, data any) []byte {
	var m bytes.Buffer
	m.WriteString("event: " + event + "\ndata: ")
	enc := json.NewEncoder(&m)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(data); err != nil {
		panic(err) // only a type that JSON does not know, which any test finds
	}
	m.WriteByte('\n')
	return m.Bytes()
}

// streaming returns a context that is also done when the lab stops: a server
// that stops waits for its answers, and a stream would go on.
func (l *Lab) streaming(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if l.Stopping == nil {
		return ctx, cancel
	}
	stop := context.AfterFunc(l.Stopping, cancel)
	return ctx, func() { stop(); cancel() }
}
