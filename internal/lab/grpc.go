package lab

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"gotimeout/handlers"
	grpcbackend "gotimeout/internal/backends/grpc"
	"gotimeout/internal/badnet/private"
	"gotimeout/slowops"
	"gotimeout/strategies"
)

// grpcOp calls a method of a gRPC server by grpc-go.
type grpcOp struct {
	GRPCTarget string `name:"grpc-target" env:"GRPC_TARGET" placeholder:"HOST:PORT" help:"A real gRPC server in the place of the embedded one, whose health the op then checks."`
	GRPCTLS    bool   `name:"grpc-tls" env:"GOTIMEOUT_GRPC_TLS" help:"Use TLS to --grpc-target."`
	GRPCMethod string `name:"grpc-method" env:"GOTIMEOUT_GRPC_METHOD" placeholder:"PACKAGE.SERVICE/METHOD" help:"Your own call as the op grpc: this method of --grpc-target, each of its answers read. The server must have reflection."`
	GRPCBody   string `name:"grpc-body" env:"GOTIMEOUT_GRPC_BODY" placeholder:"@FILE" secret:"" help:"The request of --grpc-method in JSON: the content of a file, or without the @ this text (default: {})."`

	body string // as JSON
}

// grpcMethod is the form of a method with its service.
var grpcMethod = regexp.MustCompile(`^\w+(\.\w+)*/\w+$`)

func (o *grpcOp) Read(func(string) string) (notes []string, err error) {
	switch {
	case o.GRPCTarget == "" && o.GRPCMethod != "":
		return nil, errors.New("--grpc-method (GOTIMEOUT_GRPC_METHOD) is of a gRPC server of your own, and there is none: give its address by --grpc-target")
	case o.GRPCTarget == "" && o.GRPCTLS:
		return nil, errors.New("--grpc-tls (GOTIMEOUT_GRPC_TLS) is of a gRPC server of your own, and there is none: give its address by --grpc-target")
	case o.GRPCMethod == "" && o.GRPCBody != "":
		return nil, errors.New("--grpc-body (GOTIMEOUT_GRPC_BODY) is of an own method, and there is none: give it by --grpc-method")
	case o.GRPCMethod != "" && !grpcMethod.MatchString(o.GRPCMethod):
		return nil, errors.New("--grpc-method (GOTIMEOUT_GRPC_METHOD) can't be read: write package.Service/Method")
	case o.GRPCTarget != "":
		if err := CheckAddr(o.GRPCTarget); err != nil {
			return nil, fmt.Errorf("--grpc-target (GRPC_TARGET) %w", err)
		}
	}
	body, err := textOrFile(o.GRPCBody)
	if err != nil {
		return nil, fmt.Errorf("--grpc-body (GOTIMEOUT_GRPC_BODY) can't be read: %w", err)
	}
	if len(body) > 0 && !json.Valid(body) {
		return nil, errors.New("--grpc-body (GOTIMEOUT_GRPC_BODY) is no JSON: write such as '{\"name\": \"value\"}', or @FILE")
	}
	o.body = string(body)
	return nil, nil
}

func (o *grpcOp) ownName() string {
	if o.GRPCMethod == "" {
		return ""
	}
	return o.GRPCMethod + " on " + o.GRPCTarget
}

func (o *grpcOp) server() *private.Server {
	if o.GRPCTarget == "" {
		return nil
	}
	return &private.Server{Network: "tcp", Addr: o.GRPCTarget}
}

func (o *grpcOp) open(l *Lab) (handlers.Op, error) {
	b, err := l.backend("grpc", o.server(), grpcbackend.Start)
	if err != nil {
		return handlers.Op{}, err
	}
	client := slowops.NewGRPC(b.addr)
	client.Via, client.Method, client.Body = b.via, o.GRPCMethod, o.body
	if o.GRPCTLS {
		client.TLS = new(tls.Config)
	}
	l.atClose(client.Close)
	l.held += b.files() // all calls share a connection
	b.do = client.Do
	const one = "grpc-go has a deadline for the whole call, and one timeout for the dial with its TLS handshake: connect_timeout"
	op := handlers.Op{
		Name: b.name, Doc: "A gRPC call, whose deadline crosses to the server.",
		Settings: map[strategies.Family]string{
			strategies.AroundCall:   "context.WithTimeout, which the server gets too",
			strategies.InsideClient: "timeout of the method in the service config",
		},
		Noun: "the gRPC server", Settle: 1300 * time.Millisecond, // the second of slowops, and the time until its timer has run
		Dials: true, Reports: bit(b.embedded != nil), Seen: b.embedded != nil,
		Lacks: map[string]string{"tls_timeout": one, "header_timeout": one, "read_timeout": one},
		Parts: []handlers.Part{b.do},
	}
	if b.embedded != nil {
		return o.withTargets(l, b, client, op)
	}
	b.health = connects("tcp", b.dialed) // a server may have no health check
	if o.GRPCMethod != "" {
		l.makeOwn(&op, o.ownName())
		op.Prepare = func(ctx context.Context, _ slowops.Call) error { return describe(ctx, client) }
		return op, nil
	}
	op.Parts = []handlers.Part{client.Check}
	op.Doc = "A gRPC server's health check, to which the deadline crosses."
	op.NoDelay = "the lab knows no slow method of a real gRPC server: name one by --grpc-method, or make the network to it slow"
	return op, nil
}

// describe asks a server for the types of an own method before the first run that needs them.
func describe(ctx context.Context, client *slowops.GRPC) error {
	ctx, cancel := context.WithTimeout(ctx, handlers.Prepare)
	defer cancel()
	if err := client.Describe(ctx); err != nil {
		// The error is not wrapped, because a timeout of the reflection is no timeout of the run.
		return fmt.Errorf("the server's reflection, which --grpc-method needs, has not answered: %v", err)
	}
	return nil
}

// withTargets starts the proxies in front of the stand-in.
func (o *grpcOp) withTargets(l *Lab, b *backend, client *slowops.GRPC, op handlers.Op) (handlers.Op, error) {
	targets, err := o.targets(l, b)
	if err != nil {
		return handlers.Op{}, err
	}
	client.Targets = targets.Addrs
	op.Backends = []string{"aware", "deaf"}
	for _, t := range targets.List {
		op.Targets = append(op.Targets, handlers.Target(t))
	}
	return op, nil
}

// targets starts the targets. A child has those of its parent.
func (o *grpcOp) targets(l *Lab, b *backend) (targets *grpcbackend.Targets, err error) {
	if l.isChild() {
		targets = new(grpcbackend.Targets)
		return targets, json.Unmarshal(b.given, targets)
	}
	if targets, err = grpcbackend.StartTargets(l.options(), b.addr); err != nil {
		return nil, err
	}
	l.atClose(func() { _ = targets.Close() })
	b.extra = func() any { return targets }
	return targets, nil
}
