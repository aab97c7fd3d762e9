package handlers

import (
	"runtime"
	"time"

	"gotimeout/internal/receipt"
)

// moment is how the lab is at one.
type moment struct {
	taken time.Time
	At    int64 `json:"at"` // Unix time in milliseconds
	receipt.Counts
	Goroutines int     `json:"goroutines"`
	Backends   []load  `json:"backends"`
	Receipts   []short `json:"receipts"` // the last, the newest first
}

// load is what a backend bears; null is what nobody can see.
type load struct {
	Name        string `json:"name"`
	Connections *int   `json:"connections"` // the lab's that are open
	TimeWait    *int   `json:"time_wait"`
	ForNobody   *int   `json:"for_nobody"` // jobs whose caller has its answer
}

// short is a receipt in brief.
type short struct {
	ID           string          `json:"id"`
	Name         string          `json:"name"`
	Slow         string          `json:"slow"`
	Status       *receipt.Status `json:"status"`
	Answered     *float64        `json:"answered_ms"`
	Ended        *float64        `json:"ended_ms"`
	BackendEnded *float64        `json:"backend_ended_ms"`
	Complete     bool            `json:"complete"`
}

const lastReceipts = 8

// moment looks at the lab. It asks no backend, and disturbs no pool.
func (l *Lab) moment() moment {
	now := time.Now()
	m := moment{
		taken: now, At: now.UnixMilli(), Counts: l.Ledger.Counts(), Goroutines: runtime.NumGoroutine(),
		Backends: l.loads(), Receipts: []short{},
	}
	for _, rc := range l.Ledger.Last(lastReceipts) {
		v := rc.View()
		m.Receipts = append(m.Receipts, short{v.ID, v.Name, v.Slow, v.Status, v.Answered, v.Ended, v.BackendEnded, v.Complete})
	}
	return m
}

func (l *Lab) loads() []load {
	loads := []load{}
	if l.Working == nil {
		return loads
	}
	var names []string
	for _, b := range l.Working() {
		names = append(names, b.Name)
		loads = append(loads, load{Name: b.Name, ForNobody: l.forNobody(b.Working)})
	}
	if l.Kernel == nil {
		return loads
	}
	s, err := l.Kernel.Sockets(names)
	if err != nil {
		return loads // nobody can see them
	}
	for i := range loads {
		for _, b := range s.Backends {
			if b.Name == loads[i].Name {
				open, waits := b.Client["ESTABLISHED"], b.Client["TIME-WAIT"]+b.Server["TIME-WAIT"]
				loads[i].Connections, loads[i].TimeWait = &open, &waits
			}
		}
	}
	return loads
}

// forNobody counts the jobs whose caller has its answer already.
func (l *Lab) forNobody(jobs []Job) *int {
	if jobs == nil {
		return nil
	}
	n := 0
	for _, j := range jobs {
		if rc := l.Ledger.Get(j.Receipt); rc != nil && rc.HasAnswer() {
			n++
		}
	}
	return &n
}
