package samples

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// IOTimeoutGRPC has the timeout in the service config, where a name may also be of one method.
// It covers the wait for a connection, and crosses to the server as a deadline does. Keep one
// ClientConn for the life of the program, because each has its own connection.
func IOTimeoutGRPC(target, method string, in *durationpb.Duration, timeout time.Duration) (*emptypb.Empty, error) {
	config := fmt.Sprintf(`{"methodConfig": [{"name": [{}], "timeout": "%.9fs"}]}`, timeout.Seconds())
	conn, err := grpc.NewClient(target, grpc.WithDefaultServiceConfig(config),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	out := new(emptypb.Empty)
	return out, conn.Invoke(context.Background(), method, in, out)
}
