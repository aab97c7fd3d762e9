package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/jobs"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
)

// fakeQueue has its jobs made by a lab, one after the other, a minute after they were put.
type fakeQueue struct {
	worker *handlers.Lab
	err    error
	mu     sync.Mutex
	ends   map[string]json.RawMessage
}

func (q *fakeQueue) Put(ctx context.Context, id, query string, ended func(*receipt.View)) error {
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	if q.err != nil {
		return q.err
	}
	go func() {
		time.Sleep(time.Minute)
		result := q.worker.Work(context.Background(), id, query)
		var end wire.JobEnd
		_ = json.Unmarshal(result, &end)
		q.mu.Lock()
		q.ends[id] = result
		q.mu.Unlock()
		ended(end.Receipt)
	}()
	return nil
}

func (q *fakeQueue) Health() (h handlers.Health, used bool) {
	return handlers.Health{Name: "queue", Embedded: true, Ready: q.err == nil, Error: fmt.Sprint(q.err)}, true
}

func (q *fakeQueue) Job(_ context.Context, id string) (jobs.Job, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	end, ok := q.ends[id]
	switch {
	case id == "down-1":
		return jobs.Job{}, errors.New("it is down")
	case !ok:
		return jobs.Job{}, jobs.ErrUnknown
	}
	return jobs.Job{ID: id, State: jobs.Done, Tries: 1, Result: end}, nil
}

// An offloaded run is answered 202 when the queue has it. Its receipt is open until the job has ended, and
// the job has the receipt of the worker.
func TestOffload(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		q := &fakeQueue{worker: newLab(roomy), ends: map[string]json.RawMessage{}}
		lab.Queue = q
		w := get(t, lab, "/offload?op=all&delay=2h&timeout=1h&ctx=deaf")
		checkStatus(t, w, http.StatusAccepted)
		a := read[wire.Answer](t, w)
		if a.Status != receipt.Accepted || a.Completed || a.Job == nil || *a.Job != "/jobs/lab-1" || w.Header().Get("Location") != "/jobs/lab-1" || *a.Answered != 1000 || a.Overshoot != nil {
			t.Errorf("%s, Location %q", w.Body, w.Header().Get("Location"))
		}
		checkStatus(t, get(t, lab, "/jobs/lab-1"), http.StatusNotFound)
		checkCounts(t, lab, receipt.Counts{Abandoned: 1})
		lab.Ledger.Get("lab-1").Wait(t.Context())
		const end = 1000 + 60e3 + 72e5
		v := view(t, lab, w)
		if !v.Complete || *v.Ended != end || v.BackendEnded == nil || *v.BackendEnded != end || v.Goroutines != 0 || *v.Straggle != end-1000 {
			t.Errorf("%+v", v)
		}
		w = get(t, lab, "/jobs/lab-1")
		checkStatus(t, w, http.StatusOK)
		job := read[struct {
			State  jobs.State
			Result wire.JobEnd
		}](t, w)
		if r := job.Result.Receipt; job.State != jobs.Done || r == nil || !r.Complete || *r.Status != receipt.Completed || r.Name != "offload" || r.Job != "lab-1" || *r.Answered != 72e5 || r.Slow != "all" || r.Overshoot != nil {
			t.Errorf("%s", w.Body)
		}
	})
}

// A lab that has as many jobs as it may leave behind still makes them.
func TestOffloadAtTheBound(t *testing.T) {
	bubble(t, func(t *testing.T, _ *handlers.Lab) {
		lab := newLab(receipt.Limits{InFlight: 10, Abandoned: 1, Busy: 10})
		lab.Queue = &fakeQueue{worker: lab, ends: map[string]json.RawMessage{}}
		w := get(t, lab, "/offload?op=http")
		checkStatus(t, w, http.StatusAccepted)
		checkStatus(t, get(t, lab, "/baseline?op=http"), http.StatusServiceUnavailable)
		time.Sleep(2 * time.Minute)
		if v := view(t, lab, w); !v.Complete {
			t.Errorf("%+v", v)
		}
		checkStatus(t, get(t, lab, "/baseline?op=http"), http.StatusOK)
	})
}

// The jobs of one client of a public lab run within that client's share.
func TestShareOfJobs(t *testing.T) {
	bubble(t, func(t *testing.T, _ *handlers.Lab) {
		lab := newLab(receipt.Limits{InFlight: 40, Abandoned: 200, Busy: 1000})
		lab.Queue = &fakeQueue{worker: lab, ends: map[string]json.RawMessage{}}
		routes := publicRoutes(lab)
		ask := func(peer, path string) int {
			w, r := httptest.NewRecorder(), request(t.Context(), http.MethodGet, path)
			r.RemoteAddr = peer
			routes.ServeHTTP(w, r)
			return w.Code
		}
		for range 30 {
			if status := ask("192.0.2.1:5", "/offload?op=db&delay=1m"); status != http.StatusAccepted {
				t.Fatal(status)
			}
		}
		time.Sleep(time.Minute + time.Second)
		if n := lab.Ledger.Counts().InFlight; n != 10 {
			t.Errorf("%d jobs of one client run at once, and its share is 10", n)
		}
		if status := ask("192.0.2.2:5", "/baseline?op=db"); status != http.StatusOK {
			t.Errorf("another client: %d", status)
		}
		time.Sleep(5 * time.Minute)
		if n := lab.Ledger.Counts(); n.InFlight+n.Abandoned > 0 {
			t.Errorf("%+v", n)
		}
	})
}

// A queue that refuses a job, or doesn't answer within the timeout, has its own answer.
func TestOffloadRefused(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		q := &fakeQueue{worker: newLab(roomy), err: jobs.ErrFull}
		lab.Queue = q
		w := get(t, lab, "/offload?op=http")
		checkStatus(t, w, http.StatusServiceUnavailable)
		if a := read[wire.Answer](t, w); a.Error.Code != "queue_full" || w.Header().Get("Retry-After") != "1" {
			t.Errorf("%s", w.Body)
		}
		q.err = fmt.Errorf("it is not open: %w: no room", jobs.ErrDisk)
		w = get(t, lab, "/offload?op=http")
		checkStatus(t, w, http.StatusServiceUnavailable)
		if a := read[wire.Answer](t, w); a.Error.Code != "queue_disk" || w.Header().Get("Retry-After") != "1" {
			t.Errorf("%s", w.Body)
		}
		w = get(t, lab, "/readyz")
		checkStatus(t, w, http.StatusServiceUnavailable)
		if !strings.Contains(w.Body.String(), `"name": "queue"`) || !strings.Contains(w.Body.String(), q.err.Error()) {
			t.Errorf("%s", w.Body)
		}
		w = get(t, lab, "/offload?op=http&timeout=500ms")
		checkStatus(t, w, http.StatusGatewayTimeout)
		q.err = errors.New("it is down")
		checkStatus(t, get(t, lab, "/offload?op=http&timeout=2s"), http.StatusBadGateway)
		checkStatus(t, get(t, lab, "/jobs/down-1"), http.StatusServiceUnavailable)
		checkStatus(t, get(t, lab, "/jobs/none-1"), http.StatusNotFound)
		lab.Queue = nil
		checkStatus(t, get(t, lab, "/jobs/none-1"), http.StatusNotFound)
	})
}

// A worker whose lab can't make the run says so, and one that stops gives the job back.
func TestWork(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		var end wire.JobEnd
		if err := json.Unmarshal(lab.Work(t.Context(), "j-1", "op=nonesuch"), &end); err != nil || end.Receipt != nil || end.Error == nil || end.Error.Code != "bad_parameter" {
			t.Errorf("%v, %+v", err, end)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if result := lab.Work(ctx, "j-2", "op=http&delay=1h"); result != nil {
			t.Errorf("%s", result)
		}
	})
}
