package handlers

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"gotimeout/internal/badnet"
	"gotimeout/internal/receipt"
	"gotimeout/strategies"
)

const (
	maxTimes = 100 // runs of a strategy in a race
	maxBatch = 20  // runs of a strategy in flight at once
)

// batch returns how many runs of each strategy a race has in flight at once. In a public
// lab those of all strategies stay within the share of a client.
func (l *Lab) batch(lanes int) int {
	if !l.Public {
		return maxBatch
	}
	return min(maxBatch, max(1, l.Ledger.Limits().Share().InFlight/lanes))
}

// races answers /race. A race counts as all its runs, because one whose caller doesn't read keeps what it has to
// tell of each.
func (l *Lab) races() http.HandlerFunc {
	g := newGate(l.maxRaced(), "races", "runs in races")
	return func(w http.ResponseWriter, r *http.Request) {
		p, times, err := l.parseRace(r.URL.RawQuery)
		if err != nil {
			badParameter(w, r, err)
			return
		}
		l.pass(g, times*len(l.suitable(p)), w, r, func() { l.race(w, r, p, times) })
	}
}

// race runs every strategy at once on the same op and streams an event at each change
// of a run.
func (l *Lab) race(w http.ResponseWriter, r *http.Request, p params, times int) {
	s := newStream(w, eventStream)
	if r.Method == http.MethodHead {
		return
	}
	ctx, cancel := l.streaming(r.Context())
	defer cancel()
	ctx, cancel = context.WithTimeoutCause(ctx, l.Bounds().Answer, errLongest)
	defer cancel()

	if s.send(event("start", l.startOf(r, p, times))) != nil {
		return
	}
	messages := make(chan []byte)
	go l.lanes(ctx, p, times, messages)
	if s.relay(ctx, messages) == nil {
		_ = s.send(l.endOf(ctx)) // fails only after the caller has left
	}
}

// endOf is the last event of a race whose caller listens: done, or cut with the reason.
func (l *Lab) endOf(ctx context.Context) []byte {
	var cut struct {
		Reason string `json:"reason"`
	}
	switch {
	case ctx.Err() == nil:
		return event("done", struct{}{})
	case context.Cause(ctx) == errLongest:
		cut.Reason = fmt.Sprintf("it took longer than this lab's bound of %s; ask for fewer runs or a shorter delay", l.Bounds().Answer)
	default:
		cut.Reason = "the lab is stopping"
	}
	return event("cut", cut)
}

func (l *Lab) parseRace(raw string) (p params, times int, err error) {
	q, err := query(raw, append(slices.Clone(l.allParameters()), "times")...)
	if err != nil {
		return p, 0, err
	}
	times = 1
	if text, given := q["times"]; given {
		times, err = strconv.Atoi(text)
		if err != nil || times < 1 || times > maxTimes {
			return p, 0, fmt.Errorf("times=%.20s is no number from 1 to %d", text, maxTimes)
		}
	}
	if p, err = l.params(q); err == nil {
		err = l.refusePhases(p.phases) // a strategy that bounds no client can't have them
	}
	return p, times, err
}

// lanes runs a race and closes messages when all of its receipts are complete.
func (l *Lab) lanes(ctx context.Context, p params, times int, messages chan<- []byte) {
	defer close(messages)
	suitable := l.suitable(p)
	batch := l.batch(len(suitable))
	var all sync.WaitGroup
	for _, s := range suitable {
		all.Go(func() { l.lane(ctx, s, p, times, batch, messages) })
	}
	all.Wait()
}

// lane runs a strategy a number of times, in batches. A batch begins when all runs of
// the one before are answered; work that they left behind may go on beside it.
func (l *Lab) lane(ctx context.Context, s strategies.Strategy, p params, times, batch int, messages chan<- []byte) {
	var watched sync.WaitGroup
	for first := 1; first <= times && ctx.Err() == nil; first += batch {
		var answered sync.WaitGroup
		for n := first; n < first+batch && n <= times; n++ {
			answered.Go(func() {
				rc, err := l.execute(ctx, s, p)
				watched.Go(func() {
					if err != nil {
						send(ctx, messages, event("run", raceRunOf(refusedRow(s, err), n, *p.op)))
						return
					}
					l.watch(ctx, rc, n, *p.op, messages)
				})
			})
		}
		answered.Wait()
	}
	watched.Wait()
}

// watch sends an event at each change of a run until its receipt is complete.
func (l *Lab) watch(ctx context.Context, rc *receipt.Receipt, n int, op Op, messages chan<- []byte) {
	var last []byte
	for complete := false; !complete && ctx.Err() == nil; {
		changed := rc.Changed() // before the view, so that no change is missed
		v := l.resolved(rc)
		next := event("run", raceRunOf(v, n, op))
		if !bytes.Equal(next, last) {
			send(ctx, messages, next)
		}
		last, complete = next, v.Complete
		if !complete {
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
}

func send(ctx context.Context, messages chan<- []byte, m []byte) {
	select {
	case messages <- m:
	case <-ctx.Done():
	}
}

// raceStart describes a race, and the commands that do the same without the page.
type raceStart struct {
	Strategies []raceStrategy `json:"strategies"`
	Op         string         `json:"op"`
	Delay      float64        `json:"delay_ms"`
	Alone      *float64       `json:"alone_ms,omitempty"` // how long an own call takes alone
	Timeout    float64        `json:"timeout_ms"`
	Ctx        string         `json:"ctx"`
	Network    *badnet.Path   `json:"network"`
	Times      int            `json:"times"`
	Curl       string         `json:"curl"`
	Compare    string         `json:"compare"`
}

type raceStrategy struct {
	Name   string `json:"name"`
	Family string `json:"family"`
	Doc    string `json:"doc"`
}

// raceRun is the state of a run.
type raceRun struct {
	Name         string              `json:"name"`
	N            int                 `json:"n"`
	Receipt      string              `json:"receipt"` // "" if the run was refused
	Status       *receipt.Status     `json:"status"`  // null until the answer
	Answered     *float64            `json:"answered_ms"`
	Overshoot    *float64            `json:"overshoot_ms"`
	Ended        *float64            `json:"ended_ms"`
	BackendEnded *float64            `json:"backend_ended_ms"`
	BackendSeen  bool                `json:"backend_seen"`
	Goroutines   int                 `json:"goroutines_left"`
	Connections  receipt.Connections `json:"connections"`
	Complete     bool                `json:"complete"`
	Error        *receipt.Error      `json:"error"`
	Left         string              `json:"left"` // the sentence of a complete run; "" while work goes on
}

func raceRunOf(v receipt.View, n int, op Op) raceRun {
	run := raceRun{
		Name: v.Name, N: n, Receipt: v.ID, Status: v.Status,
		Answered: v.Answered, Overshoot: v.Overshoot, Ended: v.Ended, BackendEnded: v.BackendEnded, BackendSeen: v.BackendSeen,
		Goroutines: v.Goroutines, Connections: v.Connections,
		Complete: v.Complete || *v.Status == receipt.Refused, Error: v.Error,
	}
	if run.Complete {
		run.Left = sentence(v, op)
	}
	return run
}

func (l *Lab) startOf(r *http.Request, p params, times int) raceStart {
	start := raceStart{
		Op: p.op.Name, Delay: milliseconds(p.delay), Timeout: milliseconds(p.timeout), Ctx: p.ctx,
		Network: l.networkOf(p), Times: times,
		Curl: "curl " + quoted(base(r)+"/compare?"+p.query()),
		Compare: fmt.Sprintf("gotimeout compare --url %s --ops %s --ctx %s --timeout %s --delay %s",
			quoted(base(r)), p.op.Name, p.ctx, p.timeout, p.delay),
	}
	if l.Public { // it refuses such a load, and compare starts a lab of its own without --url
		start.Compare = fmt.Sprintf("go run ./cmd/gotimeout compare --ops %s --ctx %s --timeout %s --delay %s", p.op.Name, p.ctx, p.timeout, p.delay)
	}
	if p.op.Own != nil {
		start.Alone = p.op.Own.alone()
	}
	for _, s := range l.suitable(p) {
		start.Strategies = append(start.Strategies, raceStrategy{s.Name, string(s.Family), s.Doc})
	}
	return start
}

// query returns the query of the same run, with all defaults.
func (p *params) query() string {
	q := []string{"op=" + p.op.Name, "delay=" + p.delay.String(), "timeout=" + p.timeout.String(), "ctx=" + p.ctx}
	for _, c := range p.chosen() {
		q = append(q, c[0]+"="+c[1])
	}
	return strings.Join(q, "&")
}

// base returns the URL under which the caller reached the lab.
func base(r *http.Request) string {
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// quoted quotes text as one word of a shell, because the caller chose it by its Host.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
