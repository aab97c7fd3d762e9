package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gotimeout/internal/jobs"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, s jobs.Settings) *jobs.Queue {
	t.Helper()
	s.Log = slog.New(slog.DiscardHandler)
	q, err := jobs.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// work has a worker make jobs until stop is called.
func work(t *testing.T, q *jobs.Queue, do jobs.Do) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var working sync.WaitGroup
	working.Go(func() {
		for ctx.Err() == nil {
			_ = q.Work(ctx, 20, do) // fails while a cluster has no leader
		}
	})
	return func() { cancel(); working.Wait() }
}

// await waits until a job has the state.
func await(t *testing.T, q *jobs.Queue, id string, state jobs.State) jobs.Job {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; {
		job, err := q.Get(t.Context(), id)
		if err == nil && job.State == state {
			return job
		}
		if time.Now().After(end) {
			t.Fatalf("job %s: %+v, %v, want %s", id, job, err, state)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func done(context.Context, jobs.Job) json.RawMessage { return json.RawMessage(`"made"`) }

// A job is queued, then done with the worker's result, and its lab hears of the end once.
func TestJob(t *testing.T) {
	q := open(t, jobs.Settings{Dir: t.TempDir()})
	defer q.Close()
	ended := make(chan jobs.Job, 10)
	stop, err := q.Ended(t.Context(), "lab", func(j jobs.Job) { ended <- j })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if err := q.Put(t.Context(), "lab-1", "op=http"); err != nil {
		t.Fatal(err)
	}
	if job, err := q.Get(t.Context(), "lab-1"); err != nil || job.State != jobs.Queued || job.Query != "op=http" || job.Tries != 0 {
		t.Errorf("%+v, %v", job, err)
	}
	for _, id := range []string{"lab-2", "lab", "", "-", "lab-", "lab-1.2", "*-*", "lab->"} {
		if _, err := q.Get(t.Context(), id); !errors.Is(err, jobs.ErrUnknown) {
			t.Errorf("the job %q: %v", id, err)
		}
	}
	defer work(t, q, done)()
	if job := await(t, q, "lab-1", jobs.Done); job.Tries != 1 || string(job.Result) != `"made"` || job.Worker != q.Worker() {
		t.Errorf("%+v", job)
	}
	if job := <-ended; job.ID != "lab-1" || job.State != jobs.Done {
		t.Errorf("%+v", job)
	}
}

// A full queue refuses a job, and a directory has one queue.
func TestBounds(t *testing.T) {
	dir := t.TempDir()
	q := open(t, jobs.Settings{Dir: dir})
	defer q.Close()
	if _, err := jobs.Open(t.Context(), jobs.Settings{Dir: dir, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a directory has two queues")
	}
	var puts sync.WaitGroup
	slots := make(chan bool, 50)
	for n := range jobs.MaxQueued {
		slots <- true
		puts.Go(func() {
			defer func() { <-slots }()
			if err := q.Put(t.Context(), fmt.Sprintf("lab-%d", n+1), "op=http"); err != nil {
				t.Error(n, err)
			}
		})
	}
	puts.Wait()
	if err := q.Put(t.Context(), "lab-0", "op=http"); !errors.Is(err, jobs.ErrFull) {
		t.Errorf("a full queue: %v", err)
	}
}

// After the death of a worker its jobs are made again from the same directory, and a job that no worker
// lives through is given up after its tries.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	for try := 1; try <= jobs.MaxTries+1; try++ {
		q := open(t, jobs.Settings{Dir: dir})
		if try == 1 {
			if err := q.Put(t.Context(), "lab-1", "op=http"); err != nil {
				t.Fatal(err)
			}
		}
		if try > jobs.MaxTries {
			stop := work(t, q, done)
			await(t, q, "lab-1", jobs.GaveUp)
			if err := q.Put(t.Context(), "lab-2", "op=cache"); err != nil {
				t.Fatal(err)
			}
			await(t, q, "lab-2", jobs.Done)
			stop()
			q.Close()
			return
		}
		began, dead := make(chan jobs.Job), make(chan bool)
		stop := work(t, q, func(ctx context.Context, j jobs.Job) json.RawMessage {
			began <- j
			<-dead // the queue is closed by then, so that nothing is written
			return nil
		})
		if j := <-began; j.Tries != try {
			t.Errorf("try %d: %+v", try, j)
		}
		q.CloseConn()
		close(dead)
		stop()
		q.Close()
	}
}

// A job that comes again while its first run goes on, as after a suspension of the machine, is not made a
// second time by the same queue, though nobody else may have it.
func TestOwnClaimHolds(t *testing.T) {
	t.Parallel()
	q := open(t, jobs.Settings{Dir: t.TempDir()})
	defer q.Close()
	if err := q.Put(t.Context(), "lab-1", "op=http"); err != nil {
		t.Fatal(err)
	}
	began, end := make(chan bool), make(chan bool)
	var made atomic.Int32
	do := func(context.Context, jobs.Job) json.RawMessage {
		if made.Add(1) == 1 {
			close(began)
		}
		<-end
		return json.RawMessage(`"made"`)
	}
	stop := work(t, q, do)
	<-began
	again := work(t, q, do)       // all that is not acknowledged is delivered anew
	<-time.After(3 * time.Second) // a queue that takes its own claim for a dead worker's needs half a second
	close(end)
	if job := await(t, q, "lab-1", jobs.Done); job.Tries != 1 || made.Load() != 1 {
		t.Errorf("%+v, made %d times", job, made.Load())
	}
	stop()
	again()
}

// A job that ends while its claim is renewed is done, and is not made again.
func TestEndBesideARenewal(t *testing.T) {
	t.Parallel()
	q := open(t, jobs.Settings{Dir: t.TempDir()})
	defer q.Close()
	var made atomic.Int32
	stop := work(t, q, func(context.Context, jobs.Job) json.RawMessage {
		<-time.After(jobs.Renewal + time.Duration(made.Add(1))*100*time.Microsecond)
		return json.RawMessage(`"made"`)
	})
	defer stop()
	const all = 20 // as many as the worker makes at once
	for n := range all {
		if err := q.Put(t.Context(), fmt.Sprintf("lab-%d", n+1), "op=http"); err != nil {
			t.Fatal(err)
		}
	}
	for n := range all {
		if job := await(t, q, fmt.Sprintf("lab-%d", n+1), jobs.Done); job.Tries != 1 {
			t.Errorf("%+v", job)
		}
	}
}

// A worker that stops gives its jobs back, and that is no try.
func TestStop(t *testing.T) {
	q := open(t, jobs.Settings{Dir: t.TempDir()})
	defer q.Close()
	if err := q.Put(t.Context(), "lab-1", "op=http"); err != nil {
		t.Fatal(err)
	}
	for range 2 * jobs.MaxTries {
		began := make(chan bool)
		stop := work(t, q, func(ctx context.Context, j jobs.Job) json.RawMessage {
			began <- true
			<-ctx.Done()
			return nil
		})
		<-began
		stop()
	}
	defer work(t, q, done)()
	if job := await(t, q, "lab-1", jobs.Done); job.Tries != 1 {
		t.Errorf("%+v", job)
	}
}

// cluster starts three NATS servers in this process, and returns their URLs and a func that ends one.
func cluster(t *testing.T) (url string, end func(int)) {
	t.Helper()
	var servers []*server.Server
	var routes []string
	ports := freePorts(t, 6)
	for i := range 3 {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", ports[3+i]))
	}
	for i := range 3 {
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: ports[i], NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(),
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: ports[3+i]}, Routes: server.RoutesFromStr(routes[0] + "," + routes[1] + "," + routes[2]),
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		servers = append(servers, s)
	}
	end = func(i int) { servers[i].Shutdown(); servers[i].WaitForShutdown() }
	t.Cleanup(func() {
		for i := range servers {
			end(i)
		}
	})
	return fmt.Sprintf("nats://127.0.0.1:%d,nats://127.0.0.1:%d,nats://127.0.0.1:%d", ports[0], ports[1], ports[2]), end
}

func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// Three workers share the jobs of a cluster. One of them loses its connection in the middle of jobs that it
// would make for ever, and one server of the three ends: every job is done, and none was made twice at once.
func TestCluster(t *testing.T) {
	if os.Getenv("GOTIMEOUT_SLOW") == "" {
		t.Skip("the claims of a dead worker hold for long: GOTIMEOUT_SLOW=1 runs the test")
	}
	url, end := cluster(t)
	var mu sync.Mutex
	at, held := map[string]int{}, 0
	var long atomic.Bool // the last worker's jobs don't end by themselves
	var workers []*jobs.Queue
	for i := range 3 {
		q := open(t, jobs.Settings{URL: url})
		defer q.Close()
		workers = append(workers, q)
		defer work(t, q, func(ctx context.Context, j jobs.Job) json.RawMessage {
			mu.Lock()
			at[j.ID]++
			if at[j.ID] > 1 {
				t.Errorf("job %s is made twice at once, by %d", j.ID, i)
			}
			mu.Unlock()
			work := time.After(20 * time.Millisecond)
			if i == 2 && long.Load() {
				mu.Lock()
				held++
				mu.Unlock()
				work = nil
			}
			select {
			case <-work:
			case <-ctx.Done():
			}
			mu.Lock()
			defer mu.Unlock()
			at[j.ID]--
			if ctx.Err() != nil {
				return nil
			}
			return json.RawMessage(`1`)
		})()
	}
	const all = 300
	cut := false
	for n := 1; n <= all; n++ {
		for { // a put without an answer may be in the queue all the same
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			err := workers[0].Put(ctx, fmt.Sprintf("lab-%d", n), "op=http")
			cancel()
			if err == nil {
				break
			}
		}
		switch n {
		case all / 3:
			long.Store(true)
		case 2 * all / 3:
			end(1)
		}
		mu.Lock()
		now := held > 0 && !cut
		mu.Unlock()
		if now {
			cut = true
			workers[2].CloseConn()
		}
	}
	if !cut {
		t.Error("the last worker had no job when it should lose its connection")
	}
	for n := 1; n <= all; n++ {
		await(t, workers[0], fmt.Sprintf("lab-%d", n), jobs.Done)
	}
}

// A queue in this process is opened whole and closed whole, also by who has given up already: a server
// that is stopped while it makes a stream would leave goroutines behind.
func TestOpenIsNotInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q, err := jobs.Open(ctx, jobs.Settings{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if err := q.Work(ctx, 1, nil); err != nil {
		t.Error(err)
	}
}

// Whoever asks for a job that has been put learns of it at any moment, also where it ends between two looks.
func TestGetMeanwhile(t *testing.T) {
	q := open(t, jobs.Settings{Dir: t.TempDir()})
	defer q.Close()
	defer work(t, q, done)()
	for n := range 200 {
		id := fmt.Sprintf("lab-%d", n+1)
		if err := q.Put(t.Context(), id, "op=http"); err != nil {
			t.Fatal(err)
		}
		for job := (jobs.Job{}); job.State != jobs.Done; {
			var err error
			if job, err = q.Get(t.Context(), id); err != nil {
				t.Fatalf("%s: %v", id, err)
			}
		}
	}
}

// Whoever asks for a job by any ID learns of a job of that ID, or that there is none: no ID makes the queue look broken.
func FuzzGet(f *testing.F) {
	q, err := jobs.Open(f.Context(), jobs.Settings{Dir: f.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(q.Close)
	if err := q.Put(f.Context(), "lab-1", "op=http"); err != nil {
		f.Fatal(err)
	}
	for _, id := range []string{"lab-1", "lab-2", "", "-", "lab", "lab-", "-1", "lab-1-1", "lab.1", "*-1", "lab->", "lab-1\r\nPUB a 0", "lab-\x00", "lab-\xff", "l b-1", "lab\u00a0-1", "$JS-API", strings.Repeat("x", 5000) + "-1"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		job, err := q.Get(ctx, id)
		if id == "lab-1" && (err != nil || job.ID != id || job.State != jobs.Queued || job.Query != "op=http") || id != "lab-1" && !errors.Is(err, jobs.ErrUnknown) {
			t.Errorf("%q: %+v, %v", id, job, err)
		}
	})
}
