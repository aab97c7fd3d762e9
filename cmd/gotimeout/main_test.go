package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/lab"
	"gotimeout/internal/receipt"
	"gotimeout/internal/replay"

	"go.uber.org/goleak"
)

// real has the addresses of the real servers for the tests.
var real struct{ cacheAddr, dbDSN, postgresURL, redisURL string }

// TestMain removes the variables of servers and addresses from the environment, so that a
// test has only those that it sets. With asProgram set the test binary is the program
// itself, for the tests that need a process.
func TestMain(m *testing.M) {
	if lab.IsChild(os.Args) || replay.IsTrial(os.Args) {
		main()
	}
	if os.Getenv(asProgram) != "" || private.Inside() {
		if len(os.Args) < 2 || !slices.Contains([]string{"atlas", "compare", "recommend"}, os.Args[1]) { // these commands start the program again
			os.Unsetenv(asProgram)
		}
		main()
	}
	if os.Getenv(asFarmNode) != "" {
		panic(farmNode())
	}
	if os.Getenv(asFaultyLab) != "" {
		serveFaulty()
	}
	real.cacheAddr, real.dbDSN, real.postgresURL, real.redisURL = os.Getenv("MEMCACHED_ADDR"), os.Getenv("MYSQL_DSN"), os.Getenv("POSTGRES_URL"), os.Getenv("REDIS_URL")
	for _, name := range []string{"MEMCACHED_ADDR", "MYSQL_DSN", "POSTGRES_URL", "REDIS_URL", "HTTPBIN_URL", "GOTIMEOUT_ADDR", "PORT", "GOTIMEOUT_NETWORK", "GOTIMEOUT_NETWORK_DRIVER", "GOTIMEOUT_TOKEN",
		"GOTIMEOUT_PUBLIC", "GOTIMEOUT_TRUSTED_PROXIES", "GOTIMEOUT_LOG_FORMAT", "GOTIMEOUT_HOST", "JAWSDB_URL", "DATABASE_URL", "MEMCACHIER_SERVERS"} {
		os.Unsetenv(name)
	}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "OTEL_") {
			os.Unsetenv(name)
		}
	}
	flag.Parse()
	atOnce := "8" // the tests mostly wait, so more of them run at once than there are processors
	if os.Getenv("GOTIMEOUT_NETEM") == "require" {
		atOnce = "2" // the machine may be emulated
	}
	_ = flag.Set("test.parallel", atOnce)
	goleak.VerifyTestMain(m)
}

// environmentOf returns an environment with only the variables NAME=VALUE of env.
func environmentOf(env []string) environment {
	return func(name string) string {
		for _, v := range env {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

// dialing are the ops with a backend, and together those of op=all.
var (
	dialing  = []string{"http", "cache", "db", "postgres", "redis", "grpc"}
	together = []string{"http", "cache", "db", "postgres", "grpc"}
)

const asProgram = "GOTIMEOUT_TEST_AS_PROGRAM"

// needReal skips a test without real servers; in CI it fails the test.
func needReal(t *testing.T) {
	t.Helper()
	switch {
	case real.cacheAddr != "" && real.dbDSN != "" && real.postgresURL != "" && real.redisURL != "":
	case os.Getenv("CI") == "true":
		t.Fatal("CI must run this against real servers: set MEMCACHED_ADDR, MYSQL_DSN, POSTGRES_URL and REDIS_URL")
	default:
		t.Skip(`there are no real servers: eval "$(scripts/servers start)" sets MEMCACHED_ADDR, MYSQL_DSN, POSTGRES_URL and REDIS_URL`)
	}
}

// slow skips a test that keeps the processors busy for long, because it would disturb the
// tests that measure times. .ci/run runs such tests alone.
func slow(t *testing.T) {
	t.Helper()
	if os.Getenv("GOTIMEOUT_SLOW") == "" {
		t.Skip("the test takes long: GOTIMEOUT_SLOW=1 runs it")
	}
}

// program is the program running in this process.
type program struct {
	url  string
	stop func() int // ends the program as a signal does, and returns the exit code
	log  *lockedBuffer
}

// lockedBuffer embeds no bytes.Buffer, whose ReadFrom io.Copy would call without the lock.
type lockedBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

var servingAt = regexp.MustCompile(`msg(?:=|":")serving"?[ ,]"?url(?:=|":")([^\s"]+)`)

// start runs the program on a free port until the test ends.
func start(t testing.TB, args ...string) program {
	t.Helper()
	p := program{log: new(lockedBuffer)}
	out, in := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	exit := make(chan int, 1)
	go func() {
		exit <- run(ctx, append([]string{"--addr=127.0.0.1:0"}, args...), os.Getenv, io.Discard, in)
		in.Close()
	}()
	url, drained := make(chan string, 1), make(chan bool)
	go func() {
		defer close(drained)
		lines := bufio.NewScanner(io.TeeReader(out, p.log))
		for lines.Scan() {
			if m := servingAt.FindStringSubmatch(lines.Text()); m != nil {
				url <- m[1]
			}
		}
	}()
	p.stop = sync.OnceValue(func() int { cancel(); code := <-exit; <-drained; return code })
	t.Cleanup(func() { p.stop(); http.DefaultClient.CloseIdleConnections() })
	select {
	case p.url = <-url:
	case code := <-exit:
		exit <- code // for stop
		t.Fatalf("the program ended with %d: %s", code, p.log)
	case <-time.After(30 * time.Second):
		t.Fatalf("the program does not serve: %s", p.log)
	}
	return p
}

// fetch returns the status of a GET and decodes its JSON body.
func (p program) fetch(path string, body any) (status int, err error) {
	resp, err := http.Get(p.url + path)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(body); err != nil {
		return resp.StatusCode, fmt.Errorf("GET %s: %s: %w", path, resp.Status, err)
	}
	return resp.StatusCode, nil
}

func (p program) get(t *testing.T, path string, body any) (status int) {
	t.Helper()
	status, err := p.fetch(path, body)
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// finish runs a path of a strategy and returns the complete receipt. A refused run has no
// receipt.
func (p program) finish(path string) (status int, v receipt.View, err error) {
	var answer struct{ Receipt string }
	status, err = p.fetch(path, &answer)
	if err != nil || answer.Receipt == "" {
		return status, v, err
	}
	if _, err = p.fetch(answer.Receipt+"?wait=30s", &v); err == nil && !v.Complete {
		err = fmt.Errorf("GET %s: the receipt is not complete: %+v", path, v)
	}
	return status, v, err
}

func (p program) complete(t *testing.T, path string) (status int, v receipt.View) {
	t.Helper()
	status, v, err := p.finish(path)
	if err != nil {
		t.Fatal(err)
	}
	return status, v
}

func (p program) change(t *testing.T, method, path, profile string) (status int, answer badnet.State) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.url+path, strings.NewReader(profile))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	decode(t, resp.Body, &answer)
	return resp.StatusCode, answer
}

func decode(t *testing.T, r io.Reader, body any) {
	t.Helper()
	if err := json.NewDecoder(r).Decode(body); err != nil {
		t.Fatal(err)
	}
}

// suiting returns how many strategies suit an op.
func suiting(op string) (n int) {
	for _, s := range lab.Strategies() {
		if s.Suits(op) {
			n++
		}
	}
	return n
}

// eventually waits for a condition that should soon be true.
func eventually(t testing.TB, what string, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); !happened(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("this never became true: %s", what)
		}
	}
}
