package slowops

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Describe asks the server's reflection for the types of Method, unless an earlier call has. Do asks
// too; a caller asks before, where the first call is not to take longer than the others.
func (g *GRPC) Describe(ctx context.Context) error {
	if g.Method == "" {
		return nil
	}
	ch, err := g.channelOf(&Call{})
	if err == nil {
		_, err = g.described(ctx, ch.cc)
	}
	return keepSecret("grpc", err)
}

// described returns the own call.
func (g *GRPC) described(ctx context.Context, cc *grpc.ClientConn) (own *grpcMethod, err error) {
	g.mu.Lock()
	own = g.own
	g.mu.Unlock()
	if own != nil {
		return own, nil
	}
	if own, err = g.describe(ctx, cc); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.own = own
	return own, nil
}

// jsonPlace finds the place in an error of protojson, whose text quotes the JSON.
var jsonPlace = regexp.MustCompile(`\(line \d+:\d+\)`)

func (g *GRPC) describe(ctx context.Context, cc *grpc.ClientConn) (*grpcMethod, error) {
	service, name, _ := strings.Cut(g.Method, "/")
	unknown := plainError("the server's reflection does not know the service " + service)
	files, err := reflected(ctx, cc, service)
	if err == errNotDescribed {
		return nil, unknown
	}
	if err != nil {
		return nil, err
	}
	found, _ := files.FindDescriptorByName(protoreflect.FullName(service))
	of, _ := found.(protoreflect.ServiceDescriptor)
	if of == nil {
		return nil, unknown
	}
	m := of.Methods().ByName(protoreflect.Name(name))
	switch {
	case m == nil:
		return nil, plainError(fmt.Sprintf("the service %s has no method %s", service, name))
	case m.IsStreamingClient():
		return nil, plainError(fmt.Sprintf("the method %s takes a stream of requests, and an own call sends one", name))
	}
	request := dynamicpb.NewMessage(m.Input())
	if g.Body != "" {
		if err := (protojson.UnmarshalOptions{Resolver: dynamicpb.NewTypes(files)}).Unmarshal([]byte(g.Body), request); err != nil {
			return nil, plainError(strings.TrimSpace(fmt.Sprintf("the body is no %s in JSON %s", m.Input().FullName(), jsonPlace.FindString(err.Error()))))
		}
	}
	return &grpcMethod{"/" + g.Method, request}, nil
}

// reflected asks a server for the file of a service and all files that the file needs. Servers
// had the same protocol as v1alpha before.
func reflected(ctx context.Context, cc *grpc.ClientConn, service string) (files *protoregistry.Files, err error) {
	for _, version := range []string{"v1", "v1alpha"} {
		if files, err = reflectedBy(ctx, cc, version, service); status.Code(err) != codes.Unimplemented {
			return files, err
		}
	}
	return nil, plainError("the server has no reflection, which describes an own method: register google.golang.org/grpc/reflection there")
}

// errNotDescribed says that the reflection does not know a name.
var errNotDescribed = errors.New("not described")

func reflectedBy(ctx context.Context, cc *grpc.ClientConn, version, service string) (*protoregistry.Files, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/grpc.reflection."+version+".ServerReflection/ServerReflectionInfo")
	if err != nil {
		return nil, err
	}
	all := map[string]*descriptorpb.FileDescriptorProto{}
	ask := &grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service}}
	for ask != nil {
		if err := exchange(stream, ask, all); err != nil {
			return nil, err
		}
		ask = nil
		for _, f := range all {
			for _, name := range f.GetDependency() {
				if all[name] == nil {
					ask = &grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileByFilename{FileByFilename: name}}
				}
			}
		}
	}
	set := new(descriptorpb.FileDescriptorSet)
	for _, f := range all {
		set.File = append(set.File, f)
	}
	return protodesc.NewFiles(set)
}

// exchange asks once and adds the files of the answer to all.
func exchange(stream grpc.ClientStream, ask *grpc_reflection_v1.ServerReflectionRequest, all map[string]*descriptorpb.FileDescriptorProto) error {
	answer := new(grpc_reflection_v1.ServerReflectionResponse)
	_ = stream.SendMsg(ask) // RecvMsg has the error
	if err := stream.RecvMsg(answer); err != nil {
		return err
	}
	before := len(all)
	for _, text := range answer.GetFileDescriptorResponse().GetFileDescriptorProto() {
		f := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(text, f); err != nil {
			return err
		}
		all[f.GetName()] = f
	}
	switch refused := answer.GetErrorResponse(); {
	case codes.Code(refused.GetErrorCode()) == codes.NotFound:
		return errNotDescribed
	case refused != nil:
		return status.Error(codes.Code(refused.GetErrorCode()), refused.GetErrorMessage())
	case len(all) == before:
		return plainError("the server's reflection answers without a file")
	}
	return nil
}
