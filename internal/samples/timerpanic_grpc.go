package samples

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// TimerPanicGRPC is a timeout by exception in Go, as gevent has it for Python. No deadline
// crosses, so the server stops when the cancel arrives. It answers no sooner than
// context-cancel does, and throws a late result away.
func TimerPanicGRPC(ctx context.Context, conn *grpc.ClientConn, method string, in *durationpb.Duration, timeout time.Duration) (out *emptypb.Empty, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(timeout, func() { cancel(context.DeadlineExceeded) }) // a panic here would end the process
	defer timer.Stop()
	defer func() {
		if v := recover(); v == context.DeadlineExceeded {
			err = context.DeadlineExceeded
		} else if v != nil {
			panic(v)
		}
	}()
	out = new(emptypb.Empty)
	err = conn.Invoke(ctx, method, in, out)
	if context.Cause(ctx) == context.DeadlineExceeded { // not inside the library, whose locks would stay held
		panic(context.DeadlineExceeded)
	}
	return out, err
}
