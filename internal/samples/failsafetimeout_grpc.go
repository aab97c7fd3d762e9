package samples

import (
	"context"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/timeout"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// FailsafeTimeoutGRPC cancels the call at the timeout, because the call has the context of the
// execution. That context is cancelled and has no deadline, so the server learns of the
// timeout only by the cancel: none goes with the call.
func FailsafeTimeoutGRPC(ctx context.Context, conn *grpc.ClientConn, method string, in *durationpb.Duration, limit time.Duration) (*emptypb.Empty, error) {
	bounded := failsafe.With(timeout.New[*emptypb.Empty](limit)).WithContext(ctx)
	return bounded.GetWithExecution(func(e failsafe.Execution[*emptypb.Empty]) (*emptypb.Empty, error) {
		out := new(emptypb.Empty)
		return out, conn.Invoke(e.Context(), method, in, out)
	})
}
