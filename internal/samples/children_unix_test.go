//go:build unix

package samples_test

import (
	"context"
	"database/sql"
	"os"
	"strconv"
	"time"

	"gotimeout/internal/samples"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"
)

// callsInChildren returns a call for each sample that starts this program again, with the
// arguments of each op.
func callsInChildren(of times, args map[string][2]string) map[string]call {
	one := func(sample func(ctx context.Context, arg string, timeout time.Duration) ([]byte, error), op string) call {
		return func(ctx context.Context) error { _, err := sample(ctx, args[op][0], of.timeout); return err }
	}
	two := func(sample func(ctx context.Context, arg, other string, timeout time.Duration) ([]byte, error), op string) call {
		return func(ctx context.Context) error {
			_, err := sample(ctx, args[op][0], args[op][1], of.timeout)
			return err
		}
	}
	return map[string]call{
		"subprocess-kill http":     one(samples.SubprocessKillHTTP, "http"),
		"subprocess-kill cache":    two(samples.SubprocessKillCache, "cache"),
		"subprocess-kill db":       two(samples.SubprocessKillDB, "db"),
		"subprocess-kill postgres": two(samples.SubprocessKillPostgres, "postgres"),
		"subprocess-kill redis":    two(samples.SubprocessKillRedis, "redis"),
		"subprocess-kill grpc":     two(samples.SubprocessKillGRPC, "grpc"),
		"subprocess-kill cpu": func(ctx context.Context) error {
			rounds, _ := strconv.Atoi(args["cpu"][0])
			_, err := samples.SubprocessKillCPU(ctx, rounds, of.timeout)
			return err
		},
	}
}

// beChild does what the samples say of main, where this process is a child of theirs.
func beChild() {
	var err error
	switch arg := append(os.Args, "", "", ""); arg[1] {
	case "http":
		_, err = samples.BaselineHTTP(arg[2])
	case "cache":
		_, err = samples.BaselineCache(arg[2], arg[3])
	case "db":
		var db *sql.DB
		if db, err = sql.Open("mysql", arg[2]); err == nil {
			_, err = samples.BaselineDB(db, arg[3])
		}
	case "postgres":
		var pool *pgxpool.Pool
		if pool, err = pgxpool.New(context.Background(), arg[2]); err == nil {
			_, err = samples.BaselinePostgres(pool, arg[3])
		}
	case "redis":
		_, err = samples.BaselineRedis(redis.NewClient(&redis.Options{Addr: arg[2]}), "BLPOP", arg[3], waits.work.Seconds())
	case "grpc":
		var conn *grpc.ClientConn
		work, _ := time.ParseDuration(arg[3])
		if conn, err = grpc.NewClient(arg[2], grpc.WithTransportCredentials(insecure.NewCredentials())); err == nil {
			_, err = samples.BaselineGRPC(conn, "/gotimeout.Slow/Delay", durationpb.New(work))
		}
	case "cpu":
		rounds, _ := strconv.Atoi(arg[2])
		_, err = samples.BaselineCPU(rounds)
	default:
		return
	}
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}
