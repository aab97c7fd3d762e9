package samples

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// ErrgroupGRPC answers when the last call has returned: the first error cancels the
// others, whose streams are reset. errgroup has no timeout.
func ErrgroupGRPC(ctx context.Context, conn *grpc.ClientConn, method string, timeout time.Duration, ins ...*durationpb.Duration) ([]*emptypb.Empty, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	outs := make([]*emptypb.Empty, len(ins))
	g, ctx := errgroup.WithContext(ctx) // for the group alone: this ctx is done after Wait
	for i, in := range ins {
		outs[i] = new(emptypb.Empty)
		g.Go(func() error { return conn.Invoke(ctx, method, in, outs[i]) })
	}
	return outs, g.Wait()
}
