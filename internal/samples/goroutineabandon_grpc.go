package samples

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// GoroutineAbandonGRPC answers on time. No deadline crosses: the server works on, and the
// call keeps its stream, of which a connection may have only as many as the server allows.
func GoroutineAbandonGRPC(conn *grpc.ClientConn, method string, in *durationpb.Duration, timeout time.Duration) (*emptypb.Empty, error) {
	type result struct {
		out *emptypb.Empty
		err error
	}
	done := make(chan result, 1) // without the buffer an abandoned goroutine never ends
	go func() {
		out := new(emptypb.Empty) // not the caller's, who reads on while grpc writes
		done <- result{out, conn.Invoke(context.Background(), method, in, out)}
	}()
	select {
	case r := <-done:
		return r.out, r.err
	case <-time.After(timeout):
		return nil, context.DeadlineExceeded
	}
}
