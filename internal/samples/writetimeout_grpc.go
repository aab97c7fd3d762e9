package samples

import (
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// WriteTimeoutGRPC does not end the handler at the timeout (https://go.dev/issue/59602), and gives
// its context no deadline, so none goes with the call. The client of a late handler gets a
// closed connection without a status.
func WriteTimeoutGRPC(conn *grpc.ClientConn, method string, in *durationpb.Duration, timeout time.Duration) *http.Server {
	slow := func(w http.ResponseWriter, r *http.Request) {
		err := conn.Invoke(r.Context(), method, in, new(emptypb.Empty))
		if err != nil && r.Context().Err() == nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	}
	return &http.Server{Handler: http.HandlerFunc(slow), WriteTimeout: timeout}
}
