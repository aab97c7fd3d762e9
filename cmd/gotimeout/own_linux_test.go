package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gotimeout/internal/backends"
	cachebackend "gotimeout/internal/backends/cache"
	dbbackend "gotimeout/internal/backends/db"
	grpcbackend "gotimeout/internal/backends/grpc"
	redisbackend "gotimeout/internal/backends/redis"
	"gotimeout/internal/lab"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
	"gotimeout/strategies"

	"google.golang.org/protobuf/encoding/prototext"
)

// yours are servers of somebody who has calls of their own: they stand for a service,
// a database, a memcached, a Redis and a gRPC server of their own.
type yours struct{ http, db, cache, redis, grpc string }

// startYours starts them. The service answers after a time that each request draws.
func startYours(t *testing.T, draw func() time.Duration) (y yours) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(draw()):
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "a report")
	}))
	t.Cleanup(server.Close)
	y.http = server.URL
	for into, start := range map[*string]func(backends.Options) (*backends.Server, error){&y.db: dbbackend.Start, &y.cache: cachebackend.Start, &y.redis: redisbackend.Start, &y.grpc: grpcbackend.Start} {
		s, err := start(backends.Options{MaxDelay: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		*into = s.Addr
	}
	return y
}

// An own call ends as each other one: as the row of the op says whose place it takes.
// What its server does is not seen, but for a database's by its process list, and a Redis's by its CLIENT LIST.
func TestMatrixOfOwnCalls(t *testing.T) {
	t.Parallel()
	y := startYours(t, func() time.Duration { return 4800 * time.Millisecond })
	p := start(t, "--http-request="+y.http+"/report?id=7", "--db-dsn="+dsnOf(y.db), "--db-query=SELECT SLEEP(4.8)",
		"--cache-addr="+y.cache, "--cache-key=delay/4.8s/own", "--command=sleep 4.8", "--redis-url=redis://"+y.redis, "--redis-command=BLPOP 'my list' 4.8",
		"--grpc-target="+y.grpc, "--grpc-method=gotimeout.Slow/Delay", `--grpc-body="4.8s"`)
	cells := matrix(t)
	var asked []*outcome
	var all sync.WaitGroup
	for op, like := range map[string]string{"http": "http", "db": "db/sleep", "cache": "cache", "redis": "redis/off", "grpc": "grpc", "command": "cpu"} {
		for _, s := range lab.Strategies() {
			if !s.Suits(op) || s.Outside == strategies.InChild { // internal/lab tests own calls in a child
				continue
			}
			for _, ctx := range []string{"aware", "deaf"} {
				c := cells[s.Name+" "+like+" "+ctx]
				if c.op = op; op != "db" && op != "redis" {
					c.backend = "?"
				} else if s.Bounds(time.Second).Server > 0 {
					c.status = "completed" // MySQL ends a SELECT SLEEP without an error
				}
				o := &outcome{cell: c, between: "4700ms", path: fmt.Sprintf("/%s?op=%s&ctx=%s&timeout=3s", s.Name, op, ctx)}
				asked = append(asked, o)
				all.Go(func() { o.code, o.view, o.err = p.finish(o.path) })
			}
		}
	}
	all.Wait()
	checkOutcomes(t, p, asked)
}

// An own statement on a real database runs on in each run that was cut outside the database, and an own key
// of a real memcached is got.
func TestOwnCallsOnRealServers(t *testing.T) {
	needReal(t)
	p := start(t, "--db-dsn="+real.dbDSN, "--db-query=SELECT SLEEP(6) AS report -- of a year",
		"--cache-addr="+real.cacheAddr, "--cache-key=session:7")
	var all sync.WaitGroup
	cells := matrix(t)
	for _, s := range lab.Strategies() {
		all.Go(func() {
			_, v, err := p.finish("/" + s.Name + "?op=db&timeout=4s")
			asks := s.Bounds(time.Second)
			switch {
			case err != nil:
				t.Error(err)
			case s.Outside == strategies.InQueue: // nobody bounds it
				if *v.Status != receipt.Accepted || v.BackendEnded == nil || *v.BackendEnded < 5500 {
					t.Errorf("%s: %s, %s", s.Name, *v.Status, describe(v))
				}
			case asks.Server > 0 || asks.Kill > 0: // the server ends the statement, a SLEEP perhaps without an error
				if v.BackendEnded == nil || *v.BackendEnded > 5500 {
					t.Errorf("%s: %s", s.Name, describe(v))
				}
			case cells[s.Name+" db/sleep aware"].answered == "end": // so there is no waste
			case *v.Status != receipt.TimedOut || v.Waste == nil || *v.Waste < 10:
				t.Errorf("%s: %s, backend ended %v: %s", s.Name, *v.Status, v.BackendEnded, describe(v))
			}
		})
	}
	all.Wait()
	if status, v := p.complete(t, "/context-cancel?op=cache&timeout=5s"); status != http.StatusOK {
		t.Error(describe(v))
	}
}

// planted is in each place of an own call that may be secret.
const planted = "PLANTED"

// secretCalls are flags with planted secrets, for servers at these addresses. The
// stand-in for a database has a user without a password.
func secretCalls(t *testing.T, web, dsn, cache, redis, grpc string) []string {
	t.Helper()
	body := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(body, []byte(planted), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{
		"--http-request=http://u:" + planted + "@" + web + "/report?key=" + planted, "--http-header", "X-Key: " + planted, "--http-body=@" + body,
		"--db-dsn=" + dsn, "--db-query=SELECT " + planted,
		"--cache-addr=" + cache, "--cache-key=" + planted,
		"--redis-url=redis://:" + planted + "@" + redis, "--redis-command=GET " + planted,
		"--grpc-target=" + grpc, "--grpc-method=gotimeout.Slow/Delay", `--grpc-body="` + planted + `"`,
		"--command=false " + planted,
	}
}

func dsnOf(addr string) string { return "lab@tcp(" + addr + ")/lab" }

// Nothing of an own call is shown anywhere, whether its server is down, fails, or
// sends the call back.
func TestOwnCallsStaySecret(t *testing.T) {
	slow(t)
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Echo", r.Header.Get("X-Key"))
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write(append(body, r.URL.String()...))
	}))
	defer echo.Close()
	y := startYours(t, func() time.Duration { return 0 })
	for name, args := range map[string][]string{
		"failing": secretCalls(t, strings.TrimPrefix(echo.URL, "http://"), dsnOf(y.db), y.cache, y.redis, y.grpc),
		"down":    secretCalls(t, closedPort(t), "lab:"+planted+"@tcp("+closedPort(t)+")/lab", closedPort(t), closedPort(t), closedPort(t)),
	} {
		t.Run(name, func(t *testing.T) {
			spans := collect(t)
			p := start(t, args...)
			var shown sync.WaitGroup
			for _, op := range append(dialing, "command", "all") {
				for _, s := range lab.Strategies() {
					if !s.Suits(op) {
						continue
					}
					shown.Go(func() {
						var a struct{ Receipt string }
						answer := p.show(t, "/"+s.Name+"?op="+op+"&timeout=2s&ctx=aware", "*/*")
						if err := json.Unmarshal([]byte(answer), &a); err != nil || a.Receipt == "" {
							t.Errorf("%s of %s has no receipt: %v, %s", s.Name, op, err, answer)
						}
						p.show(t, a.Receipt+"?wait=5s", "*/*")
						p.show(t, a.Receipt, "text/html")
					})
				}
				shown.Go(func() { p.show(t, "/compare?op="+op+"&timeout=1s", "*/*") })
				shown.Go(func() { p.show(t, "/race?op="+op+"&timeout=1s", "*/*") })
			}
			shown.Wait()
			for _, path := range []string{"/", "/lab", "/receipts", "/backends", "/readyz", "/sockets", "/metrics", "/network", "/baseline?op=db&delay=1s", "/baseline?op=http&target=x"} {
				p.show(t, path, "*/*")
				p.show(t, path, "text/html")
			}
			p.stop()
			if text := p.log.String(); strings.Contains(text, planted) {
				t.Errorf("the log: %s", text)
			}
			all := spans.all()
			if len(all) < 30 {
				t.Errorf("only %d spans came", len(all))
			}
			for _, span := range all {
				if text := prototext.Format(span); strings.Contains(text, planted) {
					t.Errorf("a span: %s", text)
				}
			}
		})
	}
}

// show returns an answer, in which nothing planted may be.
func (p program) show(t *testing.T, path, accept string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		t.Error(err) // not Fatal, as this may run in a goroutine
		return ""
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || strings.Contains(string(text), planted) {
		t.Errorf("GET %s: %v, %s", path, err, text)
	}
	return string(text)
}

// gotimeout runs the program as a process in a directory of its own, and returns what
// it printed and wrote.
func gotimeout(t *testing.T, args ...string) (printed, wrote string, code int) {
	t.Helper()
	program, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), asProgram+"=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run()
	files, _ := filepath.Glob(filepath.Join(cmd.Dir, "*"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		wrote += string(text)
	}
	return out.String(), wrote, cmd.ProcessState.ExitCode()
}

// compare, recommend and config show nothing of an own call either, in what they print
// and in what they write.
func TestReportsKeepOwnCallsSecret(t *testing.T) {
	t.Parallel()
	y := startYours(t, func() time.Duration { return time.Millisecond })
	web := strings.TrimPrefix(y.http, "http://")
	files := []string{"--out=out.jsonl", "--html=page.html"}
	for name, tt := range map[string]struct {
		args  []string
		code  int
		wants string
	}{
		"compare": {append([]string{"compare", "--ops=http,cache", "--strategies=context-cancel", "--rate=20", "--duration=200ms", "--delay=0"},
			append(files, secretCalls(t, web, dsnOf(y.db), y.cache, y.redis, y.grpc)...)...), 0, "http is POST " + web + "/report (alone "},
		"recommend": {append([]string{"recommend", "--op=http", "--strategies=context-cancel", "--false-timeouts=10%", "--requests=100"},
			append(files, secretCalls(t, web, dsnOf(y.db), y.cache, y.redis, y.grpc)...)...), 0, "POST " + web + "/report (alone "},
		"failing": {append([]string{"compare", "--ops=db", "--delay=0"}, secretCalls(t, web, dsnOf(y.db), y.cache, y.redis, y.grpc)...), 1,
			"op db doesn't work on this lab: mysql query: error 1064 (42000)"},
		"down":   {append([]string{"recommend", "--op=http"}, secretCalls(t, closedPort(t), dsnOf(y.db), y.cache, y.redis, y.grpc)...), 1, "connection refused"},
		"config": {append([]string{"config"}, secretCalls(t, web, dsnOf(y.db), y.cache, y.redis, y.grpc)...), 0, "http://***@" + web + "/report?***"},
		"two labs": {[]string{"compare", "--url=http://" + web, "--http-request=http://a/?" + planted}, 2,
			"--url starts no lab, and the setting GOTIMEOUT_HTTP_REQUEST is of one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			printed, wrote, code := gotimeout(t, tt.args...)
			if code != tt.code || !strings.Contains(strings.Join(strings.Fields(printed), " "), tt.wants) {
				t.Errorf("exit %d, want %d and %q:\n%s", code, tt.code, tt.wants, printed)
			}
			if strings.Contains(printed+wrote, planted) {
				t.Errorf("it shows a secret:\n%s\n%s", printed, wrote)
			}
			if tt.code == 0 && name != "config" && len(wrote) < 1000 {
				t.Errorf("it wrote %d bytes", len(wrote))
			}
		})
	}
}

// The default of compare and recommend is the own call, where there is one.
func TestOwnCallIsTheDefault(t *testing.T) {
	t.Parallel()
	printed, _, code := gotimeout(t, "compare", "--command=sleep 0.05", "--name=a nap", "--strategies=context-cancel", "--rate=10", "--duration=300ms", "--timeout=20ms", "--quiet")
	if code != 0 || !strings.Contains(printed, "op=command ctx=aware network=none timeout=20ms rate=10/s") || !strings.Contains(printed, "command is a nap (alone ") ||
		strings.Contains(printed, "floor") && strings.Contains(printed, "\nfloor ") {
		t.Errorf("exit %d:\n%s", code, printed)
	}
}

// A recommended timeout cuts no more than it says: of calls with a known distribution
// of times its interval covers the 99th percentile in 18 of 20 runs or more.
func TestRecommendCoversAnOwnCall(t *testing.T) {
	slow(t)
	// The times are drawn with a seed, and long beside what HTTP and a busy machine add.
	const mean, runs = 100 * time.Millisecond, 20
	p99 := math.Log(100) * float64(mean/time.Millisecond)
	covered := 0
	for seed := range uint64(runs) {
		var mu sync.Mutex
		draws := rand.New(rand.NewPCG(seed, 14))
		y := startYours(t, func() time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return time.Duration(draws.ExpFloat64() * float64(mean))
		})
		printed, _, code := gotimeout(t, "recommend", "--http-request="+y.http+"/report", "--strategies=context-cancel", "--json", "--quiet")
		if code != 0 {
			t.Fatalf("exit %d: %s", code, printed)
		}
		var rec struct {
			Timeout float64 `json:"timeout_ms"`
			Low     float64 `json:"low_ms"`
			High    float64 `json:"high_ms"` // known, by the number of the requests
		}
		decode(t, strings.NewReader(printed), &rec)
		if rec.Low <= p99 && p99 <= rec.High {
			covered++
		}
		t.Logf("seed %d: %v ms, p99 of the distribution %.1f ms", seed, rec, p99)
	}
	if covered < 18 {
		t.Errorf("the interval covers the 99th percentile in %d of %d runs", covered, runs)
	}
}

// The commands of docs/your-call.md do as the page says, on servers that the test has
// made; on a real database and memcached too where there are any.
func TestYourCall(t *testing.T) {
	slow(t)
	lines := map[string]func(*testing.T, string){
		"recommend --http": checkRecommended,
		"compare --http":   checkCut,
		"compare --db":     checkRanOn,
		"compare --cache":  checkAnswered,
		"compare --grpc":   checkAnswered,
		"compare --comma":  checkCut,
		"serve --http":     checkServed,
	}
	standIns := startYours(t, func() time.Duration { return 50 * time.Millisecond })
	servers := map[string]yours{"stand-ins": {standIns.http, dsnOf(standIns.db), standIns.cache, standIns.redis, standIns.grpc}}
	if real.dbDSN != "" && real.cacheAddr != "" {
		servers["real"] = yours{standIns.http, real.dbDSN, real.cacheAddr, real.redisURL, ""}
	}
	for _, s := range readPage(t, "../../docs/your-call.md") {
		if !s.fence {
			continue
		}
		for _, line := range s.lines[1 : len(s.lines)-1] {
			for name, y := range servers {
				command := strings.NewReplacer("http://127.0.0.1:9000", y.http, "user:pass@tcp(127.0.0.1:3306)/db", y.db, "127.0.0.1:11211", y.cache, "127.0.0.1:50051", y.grpc, "reports.Reports/Get", "gotimeout.Slow/Delay", `{"id": 7}`, `"0.001s"`).Replace(strings.TrimPrefix(line, "gotimeout "))
				for begins, check := range lines {
					if strings.HasPrefix(command, begins) && (name != "real" || strings.Contains(command, y.db) || strings.Contains(command, y.cache)) {
						t.Run(begins+" on "+name, func(t *testing.T) {
							start := time.Now()
							check(t, command)
							t.Logf("%s took %s", line, time.Since(start)) // less than a minute, where nothing else goes on
						})
					}
				}
			}
		}
	}
}

// shellWords are those of a command of the docs.
func shellWords(t *testing.T, command string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "bash", "-c", `printf '%s\0' `+command).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

// ownRow is a row of compare --json.
type ownRow struct {
	Strategy      string
	Requests      int
	Completed     int
	TimedOut      int `json:"timed_out"`
	Failed        int
	RanOn         *float64 `json:"ran_on_percent"`
	FalseTimeouts *float64 `json:"false_timeouts"`
	ProbeFailures int      `json:"probe_failures"`
}

// place is where a strategy makes its runs.
func place(t *testing.T, strategy string) strategies.Place {
	t.Helper()
	for _, s := range lab.Strategies() {
		if s.Name == strategy {
			return s.Outside
		}
	}
	t.Fatalf("there is no strategy %s", strategy)
	return ""
}

// compared runs a comparison of the docs.
func compared(t *testing.T, command string) (rows []ownRow) {
	t.Helper()
	printed, _, code := gotimeout(t, append(shellWords(t, command), "--json", "--quiet")...)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, printed)
	}
	var answer struct{ Rows []ownRow }
	decode(t, strings.NewReader(printed), &answer)
	for _, row := range answer.Rows {
		if row.Failed != 0 || row.ProbeFailures != 0 || row.FalseTimeouts != nil || row.Requests == 0 {
			t.Errorf("%+v", row)
		}
	}
	if len(answer.Rows) == 0 {
		t.Error("there are no rows")
	}
	return answer.Rows
}

// checkCut sees that all strategies that can cut the calls have cut each.
func checkCut(t *testing.T, command string) {
	for _, row := range compared(t, command) {
		at := place(t, row.Strategy)
		if at == strategies.InChild {
			// How many children start within the bounds depends on the machine. No call completes in them.
			if row.TimedOut == 0 || row.Completed != 0 {
				t.Errorf("%+v", row)
			}
			continue
		}
		bounds := row.Strategy != "baseline" && at != strategies.InQueue && (row.Strategy != "io-timeout" || !strings.Contains(command, "--command"))
		if bounds && row.TimedOut != row.Requests || !bounds && row.Completed != row.Requests {
			t.Errorf("%+v", row)
		}
	}
}

// checkRanOn sees that each query that was cut ran on.
func checkRanOn(t *testing.T, command string) {
	for _, row := range compared(t, command) {
		if row.Strategy != "baseline" && (row.TimedOut != row.Requests || row.RanOn == nil || *row.RanOn != 100) {
			t.Errorf("%+v", row)
		}
	}
}

func checkAnswered(t *testing.T, command string) {
	for _, row := range compared(t, command) {
		if row.Completed < row.Requests/2 && place(t, row.Strategy) != strategies.InChild { // the start of a child takes longer than the bound
			t.Errorf("%+v", row)
		}
	}
}

func checkRecommended(t *testing.T, command string) {
	printed, _, code := gotimeout(t, shellWords(t, command)...)
	if code != 0 || !strings.Contains(printed, "To cut no more than 1% of the calls") || !strings.Contains(printed, "/report (alone ") {
		t.Errorf("exit %d: %s", code, printed)
	}
}

func checkServed(t *testing.T, command string) {
	p := start(t, shellWords(t, command)[1:]...)
	var facts wire.Lab
	p.get(t, "/lab", &facts)
	if own := facts.Ops[0].Own; own == nil || own.Alone == nil || *own.Alone < 50 {
		t.Errorf("%+v", own)
	}
	if page := p.show(t, "/", "text/html"); !strings.Contains(page, "Your own call: GET ") || strings.Contains(page, "TOKEN") {
		t.Error(page)
	}
}
