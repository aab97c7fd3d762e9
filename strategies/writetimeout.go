package strategies

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

func writeTimeout() Strategy {
	return Strategy{
		Name: "write-timeout", Family: AroundHandler,
		Doc: "http.Server.WriteTimeout: nothing is cancelled at the timeout. The handler runs to its end, its answer can't be written any more, and the caller gets a closed connection, late.",
		Do:  WriteTimeout{}.Do,
	}
}

// WriteTimeout is the strategy write-timeout: Do is a caller of an http.Server with that
// WriteTimeout, whose handler calls ops. The server neither cancels the handler's context nor
// answers at the timeout (https://go.dev/issue/59602): it gives the connection a deadline for
// writing, and a handler that answers after it has written for nobody. So Do returns when the
// ops do, and the timeout only decides whether there is an answer.
//
// The server and its connection are real, but the connection is in memory (net.Pipe), so that
// a bad network between a caller and its backends is not also in front of the handler.
type WriteTimeout struct{}

// Do is the Do of a Strategy. A panic of an op comes back as a *PanicError.
func (WriteTimeout) Do(ctx context.Context, timeout time.Duration, ops ...Op) error {
	handler := newOpHandler(ops)
	server := &http.Server{
		Handler: handler, WriteTimeout: timeout,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	client, conn := net.Pipe()
	defer client.Close()
	listener := make(oneConn, 1)
	listener <- conn
	go func() { _ = server.Serve(listener) }() // until Close
	defer server.Close()

	defer context.AfterFunc(ctx, func() {
		<-handler.started // each op is called
		client.Close()
	})()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://handler/", nil)
	if err != nil {
		return err
	}
	if err := r.Write(client); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(client), r)
	if err == nil {
		answer.Body.Close()
		return handler.outcome(ctx, answer.StatusCode)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: the server closed the connection without an answer: %w", ErrTimeout, err)
}

// oneConn is a listener for the connection in it.
type oneConn chan net.Conn

func (l oneConn) Accept() (net.Conn, error) {
	if c, ok := <-l; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l oneConn) Close() error   { close(l); return nil }
func (l oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "handler", Net: "pipe"} }
