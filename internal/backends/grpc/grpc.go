// Package grpcbackend stands in for a slow gRPC service. [Start] starts a grpc-go server with the service gotimeout.Slow, health
// checks and reflection. [StartTargets] starts HTTP/2 proxies in front of one, which pass on less than they got.
//
// A run's tag is the metadata "gotimeout-run: ID". Delay stops when its context ends: by the deadline that the caller has sent
// as grpc-timeout, or by the caller's RST_STREAM. DeafDelay never looks at its context.
package grpcbackend

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"gotimeout/internal/backends"
)

// runKey carries a run's tag in the metadata.
const runKey = "gotimeout-run"

// The service and its file.
const (
	service = "gotimeout.Slow"
	file    = "gotimeout/slow.proto"
)

// Start starts a gRPC server.
func Start(o backends.Options) (*backends.Server, error) {
	s, err := backends.Listen("grpc", o)
	if err != nil {
		return nil, err
	}
	described, err := files()
	if err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("start backend grpc: %w", err)
	}
	server := grpc.NewServer(grpc.WaitForHandlers(true))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: service, HandlerType: (*any)(nil), Metadata: file,
		Methods: []grpc.MethodDesc{
			{MethodName: "Delay", Handler: delay(s, o, false)},
			{MethodName: "DeafDelay", Handler: delay(s, o, true)},
		},
	}, nil)
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	grpc_reflection_v1.RegisterServerReflectionServer(server, reflection.NewServerV1(reflection.ServerOptions{
		Services: server, DescriptorResolver: described,
	}))
	s.Serve(func(l net.Listener) {
		_ = server.Serve(l)
		server.Stop()
	})
	return s, nil
}

// delay returns the handler of a method that answers after the duration that it is asked for.
func delay(s *backends.Server, o backends.Options, deaf bool) grpc.MethodHandler {
	return func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		asked := new(durationpb.Duration)
		if err := decode(asked); err != nil {
			return nil, err
		}
		d, err := backends.ParseDelay(asked.AsDuration().String(), o.MaxDelay)
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		method, _ := grpc.Method(ctx)
		end := s.Begin(tag(ctx), method+" "+d.String())
		defer end()
		if deaf {
			ctx = s.Context()
		}
		if backends.Pause(ctx, d) != nil {
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		return new(emptypb.Empty), nil
	}
}

func tag(ctx context.Context) string {
	if tags := metadata.ValueFromIncomingContext(ctx, runKey); len(tags) > 0 {
		return tags[0]
	}
	return ""
}

// files returns the descriptors of the services and of all that they use. The one of gotimeout.Slow is written here, so that
// nothing needs protoc.
func files() (*protoregistry.Files, error) {
	method := func(name string) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{
			Name: proto.String(name), InputType: proto.String(".google.protobuf.Duration"), OutputType: proto.String(".google.protobuf.Empty"),
		}
	}
	slow, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String(file), Package: proto.String("gotimeout"), Syntax: proto.String("proto3"),
		Dependency: []string{durationpb.File_google_protobuf_duration_proto.Path(), emptypb.File_google_protobuf_empty_proto.Path()},
		Service: []*descriptorpb.ServiceDescriptorProto{{
			Name: proto.String("Slow"), Method: []*descriptorpb.MethodDescriptorProto{method("Delay"), method("DeafDelay")},
		}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		return nil, err
	}
	all := new(protoregistry.Files)
	for _, f := range []protoreflect.FileDescriptor{
		slow, durationpb.File_google_protobuf_duration_proto, emptypb.File_google_protobuf_empty_proto,
		grpc_health_v1.File_grpc_health_v1_health_proto, grpc_reflection_v1.File_grpc_reflection_v1_reflection_proto,
	} {
		if err := all.RegisterFile(f); err != nil {
			return nil, err
		}
	}
	return all, nil
}
