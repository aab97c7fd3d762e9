package lab

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gotimeout/handlers"
	redisbackend "gotimeout/internal/backends/redis"
	"gotimeout/internal/badnet/private"
	"gotimeout/slowops"
	"gotimeout/strategies"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// redisOp sends a command to a Redis by go-redis.
type redisOp struct {
	RedisURL     string `name:"redis-url" env:"REDIS_URL" secret:"url" placeholder:"URL" help:"A real Redis in the place of the embedded one: redis://user:pass@host:6379/0, rediss:// for TLS, or unix:///path."`
	RedisCommand string `name:"redis-command" env:"GOTIMEOUT_REDIS_COMMAND" placeholder:"'NAME ARG...'" secret:"" help:"Your own call as the op redis: this command with its arguments, in which '', \"\" and \\ quote, to the Redis of --redis-url."`

	opt      *redis.Options // nil is the embedded Redis
	command  []string
	timeouts map[string]time.Duration
}

func (o *redisOp) Read(func(string) string) (notes []string, err error) {
	if o.RedisURL != "" {
		if o.opt, err = slowops.ParseRedis(o.RedisURL); err != nil {
			return nil, fmt.Errorf("--redis-url (REDIS_URL) can't be used: %w", err)
		}
	}
	if o.RedisCommand != "" {
		if o.opt == nil {
			return nil, errors.New("--redis-command (GOTIMEOUT_REDIS_COMMAND) is of a Redis of your own, and there is none: name it by --redis-url")
		}
		if o.command = words(o.RedisCommand); len(o.command) == 0 || o.command[0] == "" {
			return nil, errors.New("--redis-command (GOTIMEOUT_REDIS_COMMAND) names no command, or has a quote without its end: write 'NAME ARG...'")
		}
	}
	if o.opt != nil {
		notes = o.takeTimeouts()
	}
	return notes, nil
}

// takeTimeouts takes the timeouts out of the URL, because there they would cut the calls
// of every strategy.
func (o *redisOp) takeTimeouts() (notes []string) {
	o.timeouts = map[string]time.Duration{}
	for _, of := range []struct {
		option, param string
		d             time.Duration
	}{{"dial_timeout", "connect_timeout", o.opt.DialTimeout}, {"read_timeout", "read_timeout", o.opt.ReadTimeout}} {
		if of.d > 0 {
			notes = append(notes, takenOut("Redis's URL", of.option, of.d, of.param))
			o.timeouts[of.param] = of.d
		}
	}
	return notes
}

func (o *redisOp) ownName() string {
	if o.command == nil {
		return ""
	}
	return "a command on " + o.opt.Addr
}

func (o *redisOp) server() *private.Server {
	if o.opt == nil {
		return nil
	}
	return &private.Server{Network: o.opt.Network, Addr: o.opt.Addr}
}

// quiet turns off go-redis's log, which writes to standard error and is one for the process.
var quiet = sync.OnceFunc(logging.Disable)

func (o *redisOp) open(l *Lab) (handlers.Op, error) {
	quiet()
	b, err := l.backend("redis", o.server(), redisbackend.Start)
	if err != nil {
		return handlers.Op{}, err
	}
	opt := o.opt
	if b.embedded != nil {
		opt = &redis.Options{Network: "tcp", Addr: b.addr}
	}
	client := slowops.NewRedis(opt)
	client.Via, client.Command, client.Named = b.via, o.command, b.embedded == nil
	l.pool(b, client)
	b.do = bounded(client.Do)
	if b.embedded == nil {
		if err := watchRedis(l, b, opt); err != nil {
			return handlers.Op{}, err
		}
	}
	op := handlers.Op{
		Name: b.name, Doc: "A Redis command by go-redis, which no cancel ends.",
		Settings: map[strategies.Family]string{
			strategies.AroundCall:   "ContextTimeoutEnabled and a deadline: a cancel ends nothing",
			strategies.InsideClient: "ReadTimeout",
		},
		Timeouts: o.timeouts,
		Noun:     "Redis", Settle: 1300 * time.Millisecond, // the second of slowops, and the time until its timer has run
		Dials: true, Apart: true, // no cancel ends it, so op=all would be late by every strategy that cancels
		Reports: 1, Seen: true,
		Params: []handlers.Param{{
			Name: "deadline", Doc: "whether a context's deadline bounds the reads and writes of go-redis: ContextTimeoutEnabled",
			Values: slowops.Deadlines(),
		}},
		Lacks: map[string]string{
			"tls_timeout":    "go-redis has DialTimeout alone, which bounds the TLS handshake too: ask for connect_timeout",
			"header_timeout": "Redis's protocol has no headers, and go-redis has DialTimeout and ReadTimeout",
		},
		Parts: []handlers.Part{b.do},
	}
	if o.command != nil {
		ready := slowops.NewRedis(opt) // sends ECHO
		ready.Via = b.via
		l.pool(b, ready)
		b.health = bounded(ready.Do)
		l.makeOwn(&op, o.ownName())
	}
	return op, nil
}

// watchRedis watches the commands of a real Redis by its CLIENT LIST.
func watchRedis(l *Lab, b *backend, opt *redis.Options) error {
	via, err := l.direct(opt.Network, opt.Addr)
	if err != nil {
		return err
	}
	looks := slowops.NewRedis(opt)
	looks.Via = via
	l.atClose(looks.Close)
	l.watchQueries(b, redisbackend.Look(looks.Ask), func(err error) bool {
		var answer redis.Error
		return errors.As(err, &answer)
	})
	return nil
}

// bounded has the deadline of its context bound each call that is no run: the check of a silent server would
// never end otherwise.
func bounded(do handlers.Part) handlers.Part {
	return func(ctx context.Context, c slowops.Call) error {
		if c.Run == healthRun {
			c.Params = map[string]string{"deadline": slowops.DeadlineOn}
		}
		return do(ctx, c)
	}
}
