package replay

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

func lateWrite() Experiment {
	return Experiment{
		ID: "golang-65844", Title: "work that was abandoned writes to the ResponseWriter after the answer",
		Issues:   []string{"https://go.dev/issue/65844", "https://go.dev/issue/78051", "https://go.dev/issue/19959"},
		Reported: "A handler returns at its timeout, and the goroutine that it leaves writes to the ResponseWriter: a small write is lost without an error, and one that is larger than the buffer panics; on a goroutine without a recover the process dies.",
		Does:     "A handler flushes a first part, and leaves a goroutine that writes 64 KiB after the client has the whole answer.",
		Remedy:   "Give the goroutine a buffer behind a lock, and copy the buffer to the answer only in the handler, as http.TimeoutHandler does.",
		run:      replayLateWrite,
	}
}

func replayLateWrite(ctx context.Context, remedy bool) (o Outcome, err error) {
	answered, outcome := make(chan struct{}), make(chan string, 1)
	panicked := false
	abandon := func(w http.ResponseWriter, write func([]byte) (int, error)) {
		go func() {
			defer func() {
				if v := recover(); v != nil {
					panicked = true
					outcome <- fmt.Sprintf("panicked: %v", v)
				}
			}()
			<-answered
			_, err := write(make([]byte, 64<<10))
			outcome <- "returned: " + withoutAddresses(err)
		}()
		fmt.Fprint(w, "the first part")
		_ = http.NewResponseController(w).Flush()
	}
	url, err := serve(&http.Server{}, func(w http.ResponseWriter, r *http.Request) {
		if remedy {
			var b lateBuffer
			defer b.close()
			abandon(w, b.Write)
			return
		}
		abandon(w, w.Write)
	})
	if err != nil {
		return o, err
	}
	status, _, err := get(ctx, http.DefaultClient, url)
	if err != nil {
		return o, err
	}
	time.Sleep(100 * time.Millisecond) // the server ends the request behind its answer
	close(answered)
	late := <-outcome
	return Outcome{Saw: fmt.Sprintf("The client had status %d; the late Write %s.", status, late), Reproduced: panicked}, nil
}

// lateBuffer takes what is written until the handler closes it.
type lateBuffer struct {
	mu     sync.Mutex
	closed bool
	body   []byte
}

func (b *lateBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrHandlerTimeout
	}
	b.body = append(b.body, p...)
	return len(p), nil
}

func (b *lateBuffer) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}
