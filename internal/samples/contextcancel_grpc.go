package samples

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// ContextCancelGRPC sends the deadline with the call: the server's context ends by it, also
// where nothing more arrives. The connection stays. A server passes the deadline on if it
// calls others with the context that it was given, and not with context.Background.
func ContextCancelGRPC(ctx context.Context, conn *grpc.ClientConn, method string, in *durationpb.Duration, timeout time.Duration) (*emptypb.Empty, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out := new(emptypb.Empty)
	return out, conn.Invoke(ctx, method, in, out) // status.Code(err) is DeadlineExceeded, and errors.Is(err, ctx.Err()) is false
}
