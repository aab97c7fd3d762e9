package samples

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// BaselineGRPC has no bound: grpc has no deadline by default, so the caller waits as long as
// the server takes. A method of a generated client calls Invoke too.
func BaselineGRPC(conn *grpc.ClientConn, method string, in *durationpb.Duration) (*emptypb.Empty, error) {
	out := new(emptypb.Empty)
	return out, conn.Invoke(context.Background(), method, in, out)
}
