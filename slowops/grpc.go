package slowops

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// GRPC is the op grpc: it calls gotimeout.Slow/Delay and reads the answer to its end.
//
// An aware call sends the deadline of its context as grpc-timeout, and the server's context
// ends by it even if nothing more arrives. A context that ends resets the call's stream. The
// connection goes on, because all calls share one.
type GRPC struct {
	// Method is the own call, such as "package.Service/Method", whose request is Body, in JSON. The
	// method has one request and any number of answers. Do learns the types by the server's
	// reflection. Errors quote nothing of Body. Set both before the first call.
	Method, Body string

	// Via is the host:port to dial instead of the server's. "" dials the server itself.
	// TLS, if not nil, is the configuration of the connections; the certificate is that of
	// the server's host. Set both before the first call.
	Via string
	TLS *tls.Config

	// Targets are addresses of servers that are called instead, by the name for
	// Call.Target. Set Targets before the first call.
	Targets map[string]string

	addr string

	mu       sync.Mutex
	channels map[string]*channel // by Call.Target
	own      *grpcMethod         // nil until the reflection has described Method
}

// NewGRPC returns an op on the gRPC server at addr, which is host:port. Call Close after use.
func NewGRPC(addr string) *GRPC { return &GRPC{addr: addr, channels: map[string]*channel{}} }

// Close closes the connections, and ends the dials of calls that have returned.
func (g *GRPC) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, ch := range g.channels {
		_ = ch.cc.Close()
	}
	clear(g.channels)
}

// Do makes the call. A status other than OK is an error, also DeadlineExceeded where no bound
// of the call has passed: the server has returned its own. When ctx ended an aware call,
// the error matches ctx.Err(); another error that has a name is a *Failure.
func (g *GRPC) Do(ctx context.Context, c Call) error {
	if g.Method != "" {
		return keepSecret("grpc", g.do(ctx, c, nil))
	}
	m := &grpcMethod{"/gotimeout.Slow/Delay", durationpb.New(c.Delay)}
	if c.DeafBackend {
		m.path = "/gotimeout.Slow/DeafDelay"
	}
	return g.do(ctx, c, m)
}

// Check calls grpc.health.v1.Health/Check, which any server may have.
func (g *GRPC) Check(ctx context.Context, c Call) error {
	return g.do(ctx, c, &grpcMethod{"/grpc.health.v1.Health/Check", new(emptypb.Empty)}) // HealthCheckRequest without a service is empty
}

// grpcMethod is a method with its request.
type grpcMethod struct {
	path    string
	request proto.Message
}

// do calls m; nil is the own call.
func (g *GRPC) do(ctx context.Context, c Call, m *grpcMethod) (err error) {
	ctx, cancel := c.context(ctx)
	defer cancel()
	bounded := ctx
	if c.IOTimeout > 0 { // grpc makes such a context of the timeout in a service config, which is one for all calls of a channel
		bounded, cancel = context.WithTimeout(ctx, c.IOTimeout)
		defer cancel()
	}
	r := &rpc{call: c}
	if err = r.prepare(bounded, g, m); err == nil {
		err = r.invoke(bounded)
	}
	r.leave(err)
	if at, ok := bounded.Deadline(); ok && err != nil && !time.Now().Before(at) {
		<-bounded.Done() // the server's timer for this deadline may be a moment earlier, and a proxy may make a 502 of the answer
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return limited(ctx, fmt.Errorf("grpc: %w: %w", ctx.Err(), err))
	case bounded.Err() != nil:
		return &Failure{code: totalTimeout, within: c.IOTimeout, err: fmt.Errorf("grpc: %w: %w", bounded.Err(), err)}
	}
	return r.named(fmt.Errorf("grpc: %w", err))
}

// channelOf returns the channel of a call. A call with a ConnectTimeout has a channel of its
// own: grpc has that timeout for a channel alone, and a connection that is there needs none.
func (g *GRPC) channelOf(c *Call) (*channel, error) {
	if c.ConnectTimeout > 0 {
		return g.newChannel(c)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if ch := g.channels[c.Target]; ch != nil {
		return ch, nil
	}
	ch, err := g.newChannel(&Call{Target: c.Target})
	if err == nil {
		g.channels[c.Target] = ch
	}
	return ch, err
}

// channel is a grpc.ClientConn: it dials when a call needs a connection, and its calls share
// that connection.
type channel struct {
	cc      *grpc.ClientConn
	at      place
	connect time.Duration // the ConnectTimeout of the one call that has this channel; 0 is none

	mu      sync.Mutex
	waiting []*rpc    // the calls without a connection, the oldest first
	last    *grpcConn // the connection of the last dial, nil where that failed or goes on
	failed  error     // of the last dial
}

// grpcConn is a connection of a channel.
type grpcConn struct {
	*conn
	by    *rpc    // the call that dialed; nil where grpc connects again by itself
	calls []*Call // the calls on the connection; the last one is its holder
}

func (g *GRPC) newChannel(c *Call) (ch *channel, err error) {
	ch = &channel{at: place{g.addr, g.Via}, connect: c.ConnectTimeout}
	secure := insecure.NewCredentials()
	switch {
	case c.Target != "":
		ch.at = place{g.Targets[c.Target], ""}
	case g.TLS != nil:
		secure = grpcTLS{credentials.NewTLS(g.TLS)}
	}
	// Until the backoff is over, calls fail without a dial. grpc's own backoff grows to two
	// minutes: a lab would not see for so long that its server is back.
	retry := grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
		MinConnectTimeout: 20 * time.Second, // grpc's own
	}
	if ch.connect > 0 {
		retry.Backoff = backoff.Config{BaseDelay: ch.connect, Multiplier: 1, MaxDelay: ch.connect} // a longer one would be the timeout
		retry.MinConnectTimeout = ch.connect
	}
	ch.cc, err = grpc.NewClient("passthrough:///"+ch.at.addr, // the dial looks up the name
		grpc.WithTransportCredentials(secure), grpc.WithContextDialer(ch.dial), grpc.WithStatsHandler(grpcStats{}),
		grpc.WithConnectParams(retry), grpc.WithIdleTimeout(idleTimeout),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithNoProxy())
	return ch, err
}

// dial is called by grpc with a context of the channel: the dial doesn't end with the call
// that needs it.
func (ch *channel) dial(ctx context.Context, _ string) (net.Conn, error) {
	c := &Call{ConnectTimeout: ch.connect}
	ch.mu.Lock()
	var by *rpc
	if len(ch.waiting) > 0 {
		by = ch.waiting[0]
		by.dials.begin()
		defer by.dials.end()
		c.Observer = by.call.Observer
	}
	ch.last, ch.failed = nil, nil
	ch.mu.Unlock()

	end := c.phase("grpc", "dial")
	cn, err := dial(ctx, c, "tcp", ch.at)
	end(err)

	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.failed = err; err != nil {
		return nil, err
	}
	ch.last = &grpcConn{conn: cn, by: by}
	return ch.last, nil
}

// got makes a call a holder of the connection with a local address.
func (ch *channel) got(r *rpc, local net.Addr) {
	ch.mu.Lock()
	ch.drop(r) // from an earlier connection, where grpc tries again on the next one
	dialed := false
	if cn := ch.last; cn != nil && cn.LocalAddr().String() == local.String() {
		r.conn, dialed = cn, cn.by == r
		cn.calls = append(cn.calls, &r.call)
		cn.holder.Store(&r.call)
	}
	ch.mu.Unlock()
	if !dialed {
		call(r.call.Reused)
	}
}

// drop takes a call off the channel. It returns the connection that the call had, or nil.
func (ch *channel) drop(r *rpc) (cn *grpcConn) {
	ch.waiting = slices.DeleteFunc(ch.waiting, func(w *rpc) bool { return w == r })
	if cn = r.conn; cn == nil {
		return nil
	}
	cn.calls = slices.DeleteFunc(cn.calls, func(c *Call) bool { return c == &r.call })
	var holder *Call
	if n := len(cn.calls); n > 0 {
		holder = cn.calls[n-1]
	}
	cn.holder.Store(holder)
	return cn
}

// leave ends the part of a call in the channel.
func (ch *channel) leave(r *rpc) {
	ch.mu.Lock()
	cn := ch.drop(r)
	kept := cn != nil && !cn.closed.Load()
	ch.mu.Unlock()
	if kept {
		call(r.call.Kept)
	}
	if ch.connect == 0 {
		r.dials.outlive(&r.call, grpcRemedy)
	}
}

// grpcRemedy tells how to end a dial of a channel.
const grpcRemedy = "grpc dials on when the call has ended: set MinConnectTimeout in grpc.ConnectParams, or end such dials with ClientConn.Close"

// broken returns the error of the connection that a call had, or waited for. grpc makes a text of it.
func (ch *channel) broken(r *rpc) error {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	switch {
	case r.conn != nil:
		return r.conn.firstError()
	case ch.last != nil:
		return ch.last.firstError()
	}
	return ch.failed
}

// grpcTLS has a phase for the TLS handshake.
type grpcTLS struct {
	credentials.TransportCredentials
}

func (t grpcTLS) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	end := func(error) {}
	if cn, ok := raw.(*grpcConn); ok && cn.by != nil {
		end = cn.by.call.phase("grpc", "tls")
	}
	secure, info, err := t.TransportCredentials.ClientHandshake(ctx, authority, raw)
	end(err)
	return secure, info, err
}

func (t grpcTLS) Clone() credentials.TransportCredentials {
	return grpcTLS{t.TransportCredentials.Clone()}
}

// rpc is one call on a channel.
type rpc struct {
	call    Call
	began   time.Time
	method  *grpcMethod
	channel *channel

	dials dials
	conn  *grpcConn // nil until grpc has chosen one; the channel's mutex guards it

	mu    sync.Mutex
	phase int // in grpcPhases; 0 is none yet, and overPhase none any more
	end   func(error)
}

// grpcPhases are the phases of a call on its connection.
var grpcPhases = []string{"", "request", "first_byte", "body"}

const (
	requestPhase = 1 + iota
	firstBytePhase
	bodyPhase
	overPhase
)

// prepare gives the call its method, nil being the own one, and its channel.
func (r *rpc) prepare(ctx context.Context, g *GRPC, m *grpcMethod) (err error) {
	r.began = time.Now()
	if r.channel, err = g.channelOf(&r.call); err != nil {
		return err
	}
	if r.method = m; m == nil {
		r.method, err = g.described(ctx, r.channel.cc)
	}
	return err
}

// rpcKey is the context key of the rpc of a stream.
type rpcKey struct{}

// invoke sends the request and reads every answer.
func (r *rpc) invoke(ctx context.Context) error {
	r.channel.mu.Lock()
	r.channel.waiting = append(r.channel.waiting, r)
	r.channel.mu.Unlock()
	ctx, cancel := context.WithCancel(context.WithValue(ctx, rpcKey{}, r))
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, strings.ToLower(runHeader), r.call.Run)
	if r.call.Traceparent != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", r.call.Traceparent)
	}
	stream, err := r.channel.cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, r.method.path)
	if err != nil {
		return err
	}
	err = stream.SendMsg(r.method.request) // io.EOF where the stream has ended: RecvMsg has the error
	if err == nil || err == io.EOF {
		for err = nil; err == nil; {
			err = stream.RecvMsg(new(emptypb.Empty)) // keeps each answer as unknown fields
		}
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// reach ends the phases before one and begins that one. The hooks of an answer and of its
// request may run at once, in either order.
func (r *rpc) reach(phase int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.phase < phase {
		if r.end != nil {
			r.end(err)
			r.end = nil
		}
		if r.phase++; phase == overPhase {
			r.phase = overPhase
		} else {
			r.end = r.call.phase("grpc", grpcPhases[r.phase])
		}
	}
}

// leave ends the call's phases, and its part in the channel.
func (r *rpc) leave(err error) {
	r.reach(overPhase, err)
	if r.channel == nil {
		return
	}
	if r.channel.connect > 0 {
		_ = r.channel.cc.Close()
	}
	r.channel.leave(r)
}

// named returns an error as a *Failure if the error has a name.
func (r *rpc) named(err error) error {
	if r.channel == nil || status.Code(err) != codes.Unavailable {
		return err
	}
	if limit := r.channel.connect; limit > 0 && r.conn == nil && time.Since(r.began) >= limit {
		return &Failure{code: connectTimeout, within: limit, err: err}
	}
	if by := r.channel.broken(r); by != nil {
		err = brokenRPC{err, by}
	}
	return named(err)
}

// brokenRPC is the error of a call and that of its connection.
type brokenRPC struct {
	error
	by error
}

func (b brokenRPC) Unwrap() []error { return []error{b.error, b.by} }

// grpcStats follows the calls.
type grpcStats struct{}

func (grpcStats) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (grpcStats) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (grpcStats) HandleConn(context.Context, stats.ConnStats)                       {}

func (grpcStats) HandleRPC(ctx context.Context, s stats.RPCStats) {
	r, ok := ctx.Value(rpcKey{}).(*rpc)
	if !ok {
		return
	}
	switch s := s.(type) {
	case *stats.OutHeader:
		r.channel.got(r, s.LocalAddr)
		r.reach(requestPhase, nil)
	case *stats.OutPayload:
		r.reach(firstBytePhase, nil)
	case *stats.InHeader:
		r.reach(bodyPhase, nil)
	}
}
