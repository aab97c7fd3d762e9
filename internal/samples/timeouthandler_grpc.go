package samples

import (
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// TimeoutHandlerGRPC answers 503 at the timeout. The call has the context of the request, which
// TimeoutHandler gives a deadline: the deadline goes with the call, and the server's context
// ends by it.
func TimeoutHandlerGRPC(conn *grpc.ClientConn, method string, in *durationpb.Duration, timeout time.Duration) http.Handler {
	slow := func(w http.ResponseWriter, r *http.Request) {
		err := conn.Invoke(r.Context(), method, in, new(emptypb.Empty))
		if err != nil && r.Context().Err() == nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	}
	return http.TimeoutHandler(http.HandlerFunc(slow), timeout, "no answer in time")
}
