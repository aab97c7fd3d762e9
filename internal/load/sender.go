package load

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"gotimeout/internal/results"
	"gotimeout/internal/wire"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// sender sends an open-loop load: each request when it is due, whether or not the
// requests before it have been answered.
type sender struct {
	lab      *Lab
	paths    []string // the requests take them in turn
	delays   []float64
	interval time.Duration // between two requests; 0 sends the next with each answer
	warmUp   int           // requests before those that count
	requests int           // that count
	workers  int           // requests at once, where the interval is 0
	longest  time.Duration // an answer may take so long
}

// run sends the requests and calls each with every answer, until the last; when
// ctx is done, until the requests on their way are answered. It calls began when
// the first request after the warm-up is due.
func (l *sender) run(ctx context.Context, began func(time.Time), each func(results.Request) error) (err error) {
	transport := &http.Transport{MaxIdleConnsPerHost: 10_000}
	defer transport.CloseIdleConnections()
	attacker := vegeta.NewAttacker(vegeta.Client(&http.Client{Transport: transport, Timeout: l.longest}), l.bound())
	defer context.AfterFunc(ctx, func() { attacker.Stop() })()

	schedule := l.schedule(began)
	answers := attacker.Attack(l.targets(), schedule, 0, "")
	for answer := range answers {
		if err != nil {
			continue // until the attacker has ended: it waits for its reader
		}
		due := schedule.start.Add(time.Duration(answer.Seq) * l.interval)
		if l.interval == 0 {
			due = answer.Timestamp
		}
		r := results.Request{
			Type: results.TypeRequest, Phase: results.Load,
			At: ms(due.Sub(schedule.began())), Late: max(0, ms(answer.Timestamp.Sub(due))),
			Answered: ms(answer.End().Sub(due)), Delay: l.delays[l.place(answer.URL)],
		}
		if int(answer.Seq) < l.warmUp {
			r.Phase = results.WarmUp
		}
		read(answer, &r)
		if err = each(r); err != nil {
			attacker.Stop()
		}
	}
	return err
}

// bound limits the workers where the rate doesn't.
func (l *sender) bound() func(*vegeta.Attacker) {
	if l.interval == 0 {
		return func(a *vegeta.Attacker) {
			vegeta.Workers(uint64(l.workers))(a)
			vegeta.MaxWorkers(uint64(l.workers))(a)
		}
	}
	return func(*vegeta.Attacker) {}
}

// targets gives each request the next path.
func (l *sender) targets() vegeta.Targeter {
	urls := make([]string, len(l.paths))
	for i, path := range l.paths {
		urls[i] = l.lab.URL + path
	}
	var next atomic.Uint64
	return func(t *vegeta.Target) error {
		t.Method, t.URL = http.MethodGet, urls[int((next.Add(1)-1)%uint64(len(urls)))]
		return nil
	}
}

// place is that of the path of a URL.
func (l *sender) place(url string) int {
	for i, path := range l.paths {
		if strings.HasSuffix(url, path) {
			return i
		}
	}
	return 0 // the request was not even made
}

// schedule says when each request is due.
type schedule struct {
	*sender
	start time.Time       // when the first is due
	tell  func(time.Time) // called when the warm-up is over
}

func (l *sender) schedule(tell func(time.Time)) *schedule { return &schedule{sender: l, tell: tell} }

// began is when the first request after the warm-up is due.
func (s *schedule) began() time.Time { return s.start.Add(time.Duration(s.warmUp) * s.interval) }

// Pace says how long to wait for the next request. It is asked by one goroutine.
func (s *schedule) Pace(elapsed time.Duration, sent uint64) (time.Duration, bool) {
	if s.start.IsZero() {
		s.start = time.Now().Add(-elapsed)
	}
	if int(sent) == s.warmUp {
		s.tell(s.began())
	}
	return time.Duration(sent)*s.interval - elapsed, int(sent) >= s.warmUp+s.requests
}

// Rate is in requests a second.
func (s *schedule) Rate(time.Duration) float64 { return 1 / s.interval.Seconds() }

// read puts the lab's answer into r.
func read(answer *vegeta.Result, r *results.Request) {
	if answer.Code == 0 {
		r.Status, r.Code = "failed", results.NoAnswer
		return
	}
	var body wire.Outcome
	if json.Unmarshal(answer.Body, &body) != nil || body.Status == "" {
		r.Status, r.Code = "failed", fmt.Sprintf("http_%d", answer.Code)
		return
	}
	r.Status = string(body.Status)
	if body.Error != nil {
		r.Code = body.Error.Code
	}
	if body.Receipt != nil {
		r.Receipt = strings.TrimPrefix(*body.Receipt, "/receipts/")
	}
}
