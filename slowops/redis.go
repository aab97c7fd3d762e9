package slowops

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Redis is the op redis: go-redis sends ECHO of the run's tag without a delay, else BLPOP of a
// list that nobody pushes to, with the tag as its key and the delay as its timeout.
//
// The commands are sent by Client.Do, because go-redis gives BLPop's read a longer deadline than
// its ReadTimeout. What a context does is the parameter deadline of a call: with DeadlineOff,
// go-redis's default, a context bounds the wait for a connection alone; with DeadlineOn its deadline
// bounds reads and writes too. A cancel ends neither
// (https://github.com/redis/go-redis/issues/2682). go-redis's retries are off. go-redis logs a dial
// that fails, unless the program has called its logging.Disable.
//
// go-redis doesn't show which connection a command uses, and closes no connection for being idle
// until somebody wants it. So each connection has its own redis.Client, which one call at a
// time holds.
type Redis struct {
	// Via is the host:port to dial instead of the server's. The check of the certificate
	// still names the server's host. "" dials the server itself. Set Via before the first call.
	Via string

	// Command is the own call: each call sends Command instead, and errors quote nothing of
	// it. Set Command before the first call.
	Command []string

	// Named has each call with a delay or an own command name its connection by its run first,
	// as "gotimeout-run=ID", for CLIENT LIST. Both commands are sent at once. Set Named before
	// the first call.
	Named bool

	opt     *redis.Options
	room    room
	closing context.Context // of the dials
	close   context.CancelFunc

	mu   sync.Mutex
	idle []*redisClient // in the order of their last use
}

// The values of the parameter deadline of a call of Redis: Options.ContextTimeoutEnabled.
const (
	DeadlineOff = "off"
	DeadlineOn  = "on"
)

// Deadlines returns the values of the parameter deadline, go-redis's default first.
func Deadlines() []string { return []string{DeadlineOff, DeadlineOn} }

// paramDeadline is the name of the parameter in Call.Params.
const paramDeadline = "deadline"

// ParseRedis reads a URL: redis://user:pass@host:6379/0, rediss:// for TLS, or unix:///path. The
// error never repeats the password.
func ParseRedis(text string) (*redis.Options, error) {
	const hint = "write redis://user:pass@host:6379/0, or rediss:// for TLS, special characters of the password as %XX"
	_, rest, isURL := strings.Cut(text, "://")
	end := strings.IndexAny(rest+"/", "/?#")
	u, err := url.Parse(text)
	// An @ in the rest means that the password has a / or ? or # that is not escaped.
	if err != nil || !isURL || strings.Contains(rest[end:], "@") {
		return nil, errors.New("no readable URL; " + hint)
	}
	if strings.Contains(u.Host, ",") {
		return nil, errors.New("an address of several hosts; name one host, as in redis://user:pass@host:6379/0")
	}
	if !slices.Contains([]string{"redis", "rediss", "unix"}, u.Scheme) {
		return nil, fmt.Errorf("a URL with scheme %q; %s", u.Scheme, hint)
	}
	opt, err := redis.ParseURL(text)
	if err != nil { // go-redis's error quotes the text
		return nil, errors.New("a URL with a path or an option that go-redis doesn't know; " + hint)
	}
	return opt, nil
}

// NewRedis returns an op on the server of opt, of which it takes the address, the login, the
// database, the protocol and TLS. Call Close after use.
func NewRedis(opt *redis.Options) *Redis {
	r := &Redis{opt: opt, room: room{most: noLimit}}
	r.closing, r.close = context.WithCancel(context.Background())
	return r
}

// SetMaxIdle bounds the idle connections that the op keeps; 0 keeps none. Call it before the first call.
func (r *Redis) SetMaxIdle(n int) { r.room.most = int32(n) }

// Close closes the idle connections, and ends the dials of calls that have returned.
func (r *Redis) Close() {
	r.close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, client := range r.idle {
		client.expiry.Stop()
		_ = client.Close()
	}
	r.idle = nil
}

// Do sends the command. An answer of nil is no error. The answer to another question is a
// *Failure with the code wrong_answer. When ctx ended an aware call, the error matches ctx.Err().
func (r *Redis) Do(ctx context.Context, c Call) error {
	ctx, cancel := c.context(ctx)
	defer cancel()
	client := r.take(&c)
	if c.Limit > 0 { // go-redis may ignore the context
		limit := time.AfterFunc(c.Limit, func() { client.cut(&c) })
		defer limit.Stop()
	}
	err := client.named(ctx, r.send(ctx, client, &c))
	r.give(client, &c)
	if r.Command != nil {
		err = keepSecret("redis command", err)
	}
	return err
}

func (r *Redis) send(ctx context.Context, client *redisClient, c *Call) error {
	tag := "gotimeout run=" + c.Run
	args := []any{"ECHO", tag}
	switch {
	case r.Command != nil:
		args = args[:0]
		for _, arg := range r.Command {
			args = append(args, arg)
		}
	case c.Delay > 0:
		whole := (c.Delay + time.Millisecond - 1).Truncate(time.Millisecond) // a timeout of 0 is for ever
		args = []any{"BLPOP", tag, seconds(whole)}
	}
	of := client.Client
	if timeout := cmp.Or(c.ReadTimeout, c.IOTimeout); timeout > 0 {
		of = of.WithTimeout(timeout) // on the same connection
	}
	var answer any
	var err error
	if r.Named && args[0] != "ECHO" {
		pipe := of.Pipeline()
		pipe.Do(ctx, "CLIENT", "SETNAME", "gotimeout-run="+c.Run)
		last := pipe.Do(ctx, args...)
		_, _ = pipe.Exec(ctx) // a server may refuse the name
		answer, err = last.Result()
	} else {
		answer, err = of.Do(ctx, args...).Result()
	}
	switch {
	case errors.Is(err, redis.Nil):
		return nil
	case err == nil && r.Command == nil && answer != tag:
		client.cut(c) // go-redis would use the connection again
		return &Failure{code: wrongAnswer, err: fmt.Errorf("redis: ECHO %q answered %.60q: the connection is poisoned", tag, fmt.Sprint(answer))}
	}
	return err
}

// Ask sends another command, which the deadline of ctx bounds, and returns its answer.
func (r *Redis) Ask(ctx context.Context, args ...any) (answer any, err error) {
	c := &Call{Params: map[string]string{paramDeadline: DeadlineOn}}
	client := r.take(c)
	answer, err = client.Do(ctx, args...).Result()
	err = client.named(ctx, err)
	r.give(client, c)
	return answer, err
}

// take returns the client used last with the same deadline, or a new one without a connection yet.
func (r *Redis) take(c *Call) *redisClient {
	on := c.Params[paramDeadline] == DeadlineOn
	r.mu.Lock()
	for i, client := range slices.Backward(r.idle) {
		if client.on == on {
			r.idle = slices.Delete(r.idle, i, i+1)
			r.room.give()
			client.expiry.Stop()
			r.mu.Unlock()
			client.hold(c)
			return client
		}
	}
	r.mu.Unlock()
	client := &redisClient{op: r, on: on, call: c, held: true, dials: new(dials)}
	client.Client = redis.NewClient(client.options())
	return client
}

// give takes a client back, unless its connection is closed.
func (r *Redis) give(client *redisClient, c *Call) {
	cn := client.leave()
	if cn == nil || cn.closed.Load() || !r.room.take() {
		_ = client.Close()
		return
	}
	cn.release(c)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing.Err() != nil {
		_ = client.Close()
		return
	}
	client.expiry = time.AfterFunc(idleTimeout, func() { r.expire(client) })
	r.idle = append(r.idle, client)
}

// expire closes a client's connection, unless a call has just taken the client.
func (r *Redis) expire(client *redisClient) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.idle, client); i >= 0 {
		r.idle = slices.Delete(r.idle, i, i+1)
		r.room.give()
		_ = client.Close()
	}
}

// redisClient is a redis.Client with one connection, held by one call.
type redisClient struct {
	*redis.Client
	op     *Redis
	on     bool        // ContextTimeoutEnabled
	expiry *time.Timer // closes the idle connection

	mu      sync.Mutex
	call    *Call
	held    bool // call has not returned
	sent    bool // call has begun to write its command
	isCut   bool
	dialing bool
	dials   *dials // of call
	failed  error  // of the dial
	conn    *conn  // nil until the first dial is over
	phase   string
	end     func(error) // ends the phase that goes on
}

// options returns go-redis's options of one connection without a bound but those of its call.
func (client *redisClient) options() *redis.Options {
	of, c := client.op.opt, client.call
	return &redis.Options{
		Network: of.Network, Addr: of.Addr, Username: of.Username, Password: of.Password, DB: of.DB, Protocol: of.Protocol, ClientName: of.ClientName,
		ContextTimeoutEnabled: client.on, ReadTimeout: -1, WriteTimeout: -1,
		DialTimeout: cmp.Or(c.ConnectTimeout, c.IOTimeout, noTimeout),
		MaxRetries:  -1, DialerRetries: 1,
		PoolSize: 2, PipelinePoolSize: -1, // with a size of 1, a dial that fails has go-redis dial on
		PoolTimeout: noTimeout, ConnMaxIdleTime: -1,
		ReadBufferSize: 4 << 10, WriteBufferSize: 4 << 10,
		DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}, // a round trip each
		Dialer:    client.dial,
		OnConnect: func(context.Context, *redis.Conn) error { client.next("command", nil); return nil },
	}
}

// hold makes c the call of an idle client.
func (client *redisClient) hold(c *Call) {
	client.mu.Lock()
	client.call, client.held, client.sent, client.dials = c, true, false, new(dials)
	client.mu.Unlock()
	client.conn.hold(c)
	call(c.Reused)
	client.next("command", nil)
}

// redisRemedy tells how to end a dial of go-redis.
const redisRemedy = "go-redis dials on when the call has ended: DialTimeout bounds such dials, to 5 s by default"

// leave ends the part of the call, and returns the connection, or nil without one.
func (client *redisClient) leave() *conn {
	client.mu.Lock()
	cn, c, all := client.conn, client.call, client.dials
	client.held = false
	client.mu.Unlock()
	if c.ConnectTimeout == 0 && c.IOTimeout == 0 {
		all.outlive(c, redisRemedy)
	}
	return cn
}

// cut closes the connection while c holds it, which ends the call's read or write.
func (client *redisClient) cut(c *Call) {
	client.mu.Lock()
	client.isCut = client.held && client.call == c
	isCut, cn := client.isCut, client.conn
	client.mu.Unlock()
	if isCut && cn != nil {
		_ = cn.Close() // calls a hook
	}
}

// next ends the phase that goes on, and begins the one of that name, if any. The hooks of phases don't
// block.
func (client *redisClient) next(name string, err error) {
	client.mu.Lock()
	defer client.mu.Unlock()
	if client.end != nil {
		client.end(err)
		client.end = nil
	}
	if client.phase = name; name != "" && client.held {
		client.end = client.call.phase("redis", name)
	}
}

// dial is called by go-redis with a context that has nothing of the call's: the dial doesn't end with
// the call that needs it.
func (client *redisClient) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(client.op.closing, cancel)()
	if client.op.Via != "" {
		network = "tcp"
	}
	client.mu.Lock()
	c, all := client.call, client.dials
	client.dialing = true
	client.mu.Unlock()
	all.begin()
	defer all.end()
	client.next("dial", nil)
	nc, err := client.connect(ctx, c, network, addr)
	if err != nil {
		client.next("", err)
	} else {
		client.next("hello", nil)
	}
	client.mu.Lock()
	defer client.mu.Unlock()
	client.dialing, client.failed = false, err
	return nc, err
}

func (client *redisClient) connect(ctx context.Context, c *Call, network, addr string) (net.Conn, error) {
	cn, err := dial(ctx, c, network, place{addr, client.op.Via})
	if err != nil {
		return nil, err
	}
	client.mu.Lock()
	client.conn = cn
	client.mu.Unlock()
	written := &redisConn{cn, client}
	if client.op.opt.TLSConfig == nil {
		return written, nil
	}
	client.next("tls", nil)
	secure := tls.Client(written, client.op.opt.TLSConfig)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = secure.Close()
		return nil, err
	}
	return secure, nil
}

// redisConn tells the client when a command is written.
type redisConn struct {
	*conn
	client *redisClient
}

func (cn *redisConn) Write(b []byte) (int, error) {
	cn.client.mu.Lock()
	command := cn.client.phase == "command"
	cn.client.sent = cn.client.sent || command
	cn.client.mu.Unlock()
	n, err := cn.conn.Write(b)
	if command && err == nil {
		cn.client.next("answer", nil)
	}
	return n, err
}

// named ends the phases of the call, and returns its error by the name of what has caused it.
func (client *redisClient) named(ctx context.Context, err error) error {
	client.mu.Lock()
	c, cut, failed, dialing, sent := client.call, client.isCut, client.failed, client.dialing, client.sent
	client.mu.Unlock()
	if !dialing {
		client.next("", err)
	}
	if err == nil {
		return nil
	}
	if at, ok := ctx.Deadline(); ok && client.on && !time.Now().Before(at) {
		<-ctx.Done() // the socket's deadline may be a moment earlier
	}
	if !sent {
		err = fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	err = fmt.Errorf("redis: %w", err)
	var made *Failure
	dial, io := cmp.Or(c.ConnectTimeout, c.IOTimeout), cmp.Or(c.ReadTimeout, c.IOTimeout)
	switch {
	case errors.As(err, &made):
	case cut:
		return fmt.Errorf("%w: %w", ErrLimit, err)
	case ctx.Err() != nil && (errors.Is(err, ctx.Err()) || client.on && isTimeout(err)):
		return limited(ctx, fmt.Errorf("%w: %w", ctx.Err(), err))
	case failed != nil && dial > 0 && isTimeout(failed):
		return &Failure{code: connectTimeout, within: dial, err: err}
	case failed == nil && io > 0 && isTimeout(err):
		return &Failure{code: readTimeout, within: io, err: err}
	}
	return named(err)
}
