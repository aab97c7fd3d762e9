package samples

import (
	"net/http"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// ChiTimeoutGRPC gives the request's context the timeout: the deadline goes with the call, and the
// server's context ends by it. A handler that ignores its context answers 200, late.
func ChiTimeoutGRPC(conn *grpc.ClientConn, method string, in *durationpb.Duration, timeout time.Duration) http.Handler {
	slow := func(w http.ResponseWriter, r *http.Request) {
		err := conn.Invoke(r.Context(), method, in, new(emptypb.Empty))
		if err != nil && r.Context().Err() == nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	}
	return middleware.Timeout(timeout)(http.HandlerFunc(slow))
}
