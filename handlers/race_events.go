package handlers

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/receipt"
)

// raceStart says what a race is of, and how to have it without the page.
type raceStart struct {
	Strategies []raceStrategy `json:"strategies"`
	Op         string         `json:"op"`
	Delay      float64        `json:"delay_ms"`
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

// raceRun is what is known of a run.
type raceRun struct {
	Name         string              `json:"name"`
	N            int                 `json:"n"`
	Receipt      string              `json:"receipt"` // "" of one that was refused
	Status       *receipt.Status     `json:"status"`  // null until the answer
	Answered     *float64            `json:"answered_ms"`
	Ended        *float64            `json:"ended_ms"`
	BackendEnded *float64            `json:"backend_ended_ms"`
	BackendSeen  bool                `json:"backend_seen"`
	Goroutines   int                 `json:"goroutines_left"`
	Connections  receipt.Connections `json:"connections"`
	Complete     bool                `json:"complete"`
	Error        *receipt.Error      `json:"error"`
	Left         string              `json:"left"` // "" until it is complete
}

func raceRunOf(v receipt.View, n int, op Op) raceRun {
	run := raceRun{
		Name: v.Name, N: n, Receipt: v.ID, Status: v.Status,
		Answered: v.Answered, Ended: v.Ended, BackendEnded: v.BackendEnded, BackendSeen: op.Seen,
		Goroutines: v.Goroutines, Connections: v.Connections,
		Complete: v.Complete || *v.Status == receipt.Refused, Error: v.Error,
	}
	if run.Complete {
		run.Left = left(v, op)
	}
	return run
}

func (l *Lab) startOf(r *http.Request, p params, times int) raceStart {
	start := raceStart{
		Op: p.op.Name, Delay: millis(p.delay), Timeout: millis(p.timeout), Ctx: p.ctx,
		Network: l.between(p), Times: times,
		Curl: "curl " + quoted(base(r)+"/compare?"+p.query()),
		Compare: fmt.Sprintf("gotimeout compare --url %s --ops %s --ctx %s --timeout %s --delay %s",
			quoted(base(r)), p.op.Name, p.ctx, p.timeout, p.delay),
	}
	for _, s := range l.suitable(p) {
		start.Strategies = append(start.Strategies, raceStrategy{s.Name, string(s.Family), s.Doc})
	}
	return start
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// query is that of the same run, whatever the defaults are.
func (p *params) query() string {
	q := []string{"op=" + p.op.Name, "delay=" + p.delay.String(), "timeout=" + p.timeout.String(), "ctx=" + p.ctx}
	for _, choice := range [][2]string{{"work", p.work}, {"backend", p.backend}, {"target", p.target}} {
		if choice[1] != "" {
			q = append(q, choice[0]+"="+choice[1])
		}
	}
	return strings.Join(q, "&")
}

// base is where the caller has found the lab.
func base(r *http.Request) string {
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// quoted is text as one word of a shell, whatever the caller says it is called.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
