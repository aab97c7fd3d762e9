package replay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

func redisDeadline() Experiment {
	return Experiment{
		ID: "redis-2243", Title: "a context's deadline does not bound the read of an answer",
		Issues:   []string{"https://github.com/redis/go-redis/issues/2243", "https://github.com/redis/go-redis/issues/2215", "https://github.com/redis/go-redis/issues/2682"},
		Reported: "Since v9 ContextTimeoutEnabled is off unless it is set: a deadline bounds the wait for a connection of the pool, and not the read. A cancel without a deadline does nothing even with the option.",
		Does:     "A server takes GET and never answers. The context has a deadline of 0.2 s, and the client's own ReadTimeout is 2 s.",
		Remedy:   "ContextTimeoutEnabled: true.",
		run:      replayRedisDeadline,
	}
}

func replayRedisDeadline(ctx context.Context, remedy bool) (o Outcome, err error) {
	const readTimeout = 2 * time.Second
	addr, err := silentRedis()
	if err != nil {
		return o, err
	}
	client := redis.NewClient(&redis.Options{Addr: addr, ReadTimeout: readTimeout, MaxRetries: -1, ContextTimeoutEnabled: remedy})
	if err := client.Ping(ctx).Err(); err != nil { // connects
		return o, err
	}
	took, err := quickest(func() error {
		ctx, cancel := context.WithTimeout(ctx, readTimeout/10)
		defer cancel()
		return client.Get(ctx, "key").Err()
	})
	if err == nil {
		return o, errors.New("the silent server answered")
	}
	return Outcome{
		Saw:        fmt.Sprintf("Get returned with a timeout after %s.", sec(took)),
		Reproduced: took > readTimeout/2,
	}, nil
}

// silentRedis starts a server that answers PING, refuses every other command, and is silent to GET.
func silentRedis() (addr string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	serve := func(conn net.Conn) {
		// A command comes as an array: "*2", "$3", "GET", "$3", "key". Only names matter here.
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			if !strings.HasPrefix(lines.Text(), "*") || !lines.Scan() || !lines.Scan() {
				continue
			}
			switch strings.ToUpper(lines.Text()) {
			case "GET":
			case "PING":
				fmt.Fprint(conn, "+PONG\r\n")
			default:
				fmt.Fprint(conn, "-ERR unknown command\r\n")
			}
		}
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return l.Addr().String(), nil
}
