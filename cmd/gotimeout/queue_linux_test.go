package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/jobs"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
)

// endedJob is a job as /jobs/{id} shows it.
type endedJob struct {
	State  jobs.State
	Tries  int
	Worker string
	Result *wire.JobEnd
}

// sender sends offloads to labs in turn, each when it is due, until it is accepted, and keeps the accepted jobs.
type sender struct {
	client *http.Client
	asked  atomic.Int64 // how many requests were sent

	mu    sync.Mutex
	jobs  map[string]int // the number of each accepted request
	took  []time.Duration
	other map[string]int // the answers that were no 202
}

// send sends n jobs. A job without an accepting answer is sent again, as a request with a number of its own, because
// its job may have been stored nevertheless. urls has the labs that may be asked now, query a request by its number.
func (s *sender) send(ctx context.Context, n int, every time.Duration, urls func() []string, query func(number int) string) {
	var sent sync.WaitGroup
	due := time.NewTicker(every)
	defer due.Stop()
	for range n {
		<-due.C
		sent.Go(func() {
			for ctx.Err() == nil {
				number, all := int(s.asked.Add(1))-1, urls()
				if s.ask(ctx, all[number%len(all)]+"/offload?"+query(number), number) {
					return
				}
				<-time.After(200 * time.Millisecond)
			}
		})
	}
	sent.Wait()
}

// accepted is the number of the accepted jobs.
func (s *sender) accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.jobs)
}

// ask says whether the job was accepted.
func (s *sender) ask(ctx context.Context, url string, n int) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	began := time.Now()
	resp, err := s.client.Do(req)
	took := time.Since(began)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.other["no answer"]++
		return false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusAccepted {
		s.other[resp.Status]++
		return false
	}
	s.jobs[strings.TrimPrefix(resp.Header.Get("Location"), "/jobs/")] = n
	s.took = append(s.took, took)
	return true
}

// p99 is the 99th percentile of the accepted requests.
func (s *sender) p99() time.Duration {
	slices.Sort(s.took)
	return s.took[len(s.took)*99/100]
}

func newSender() *sender {
	return &sender{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}, jobs: map[string]int{}, other: map[string]int{}}
}

// checkEnds waits for the end of each accepted job, and checks that its receipt is complete. It returns
// how many were begun more than once.
func (s *sender) checkEnds(t *testing.T, url string) (again int) {
	t.Helper()
	for id := range s.jobs {
		var job endedJob
		for end := time.Now().Add(3 * time.Minute); ; {
			job = endedJob{}
			if resp, err := s.client.Get(url + "/jobs/" + id); err == nil {
				_ = json.NewDecoder(resp.Body).Decode(&job)
				resp.Body.Close()
			}
			if job.State == jobs.Done {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("the job %s is lost: %+v", id, job)
			}
			<-time.After(20 * time.Millisecond)
		}
		if job.Result == nil || job.Result.Receipt == nil || !job.Result.Receipt.Complete || *job.Result.Receipt.Status != receipt.Completed {
			t.Errorf("the job %s has no complete receipt: %+v", id, job)
		}
		if job.Tries > 1 {
			again++
		}
	}
	return again
}

// No accepted job is lost, however often the server is killed, and each is accepted at last if its client asks
// again. The whole test has 10,000 jobs over three kills; the short one has fewer, and one.
func TestKilledServerLosesNoJob(t *testing.T) {
	t.Parallel()
	n, kills := 300, 1
	if os.Getenv("GOTIMEOUT_SLOW") != "" {
		n, kills = 10_000, 3
	}
	addr, dir := freeAddr(t, "127.77.0.1"), t.TempDir() // where no other test listens between a kill and the next start
	serve := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "serve", "--addr="+addr, "--data="+dir)
		cmd.Env = append(os.Environ(), asProgram+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		serving(t, cmd)
		return cmd
	}
	process := serve()
	defer func() { _ = process.Process.Kill(); _ = process.Wait() }()
	s := newSender()
	defer s.client.CloseIdleConnections()
	done := make(chan bool)
	go func() {
		defer close(done)
		s.send(t.Context(), n, 2*time.Millisecond, func() []string { return []string{"http://" + addr} },
			func(int) string { return "op=http&delay=5ms&timeout=10s" })
	}()
	for kill := 1; kill <= kills; kill++ {
		eventually(t, "some jobs are accepted", func() bool { return s.accepted() >= kill*n/(kills+1) })
		_ = process.Process.Kill()
		_ = process.Wait()
		process = serve()
	}
	<-done
	again := s.checkEnds(t, "http://"+addr)
	t.Logf("%d of %d jobs were accepted over %d kills, p99 %s, the other answers %v; %d were begun again, none is lost", len(s.jobs), n, kills, s.p99(), s.other, again)
	if len(s.jobs) != n {
		t.Errorf("%d of %d were accepted, the other answers: %v", len(s.jobs), n, s.other)
	}
}

// A comparison whose lab has opened its queue leaves no file of it.
func TestCompareLeavesNoFile(t *testing.T) {
	cmd := command(t, nil, "compare", "--strategies=offload", "--ops=http", "--duration=200ms", "--quiet")
	temporary := t.TempDir()
	cmd.Env = append(cmd.Env, "TMPDIR="+temporary)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
