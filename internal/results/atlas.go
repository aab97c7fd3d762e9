package results

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gotimeout/internal/machine"
	"gotimeout/internal/receipt"
	"gotimeout/internal/stats"
)

// TypeAtlas is the type of an atlas, which is one JSON object.
const TypeAtlas = "atlas"

// Atlas is a survey of all strategies with all clients: each of its cells was run a few
// times, and has the receipts of its runs.
type Atlas struct {
	Type        string          `json:"type"`
	Format      int             `json:"format"`
	Started     time.Time       `json:"started"`
	Took        float64         `json:"took_ms"`
	Command     string          `json:"command"`
	Repeat      int             `json:"repeat"`
	Lab         machine.Machine `json:"lab"`
	Strategies  []Strategy      `json:"strategies"`
	Clients     []Client        `json:"clients"`
	Networks    []AtlasNetwork  `json:"networks"`
	LeftOut     []LeftOut       `json:"left_out"`
	Interrupted bool            `json:"interrupted"`
	Cells       []*AtlasCell    `json:"cells"` // in the order of clients, strategies, ctxs and networks
}

// Client is an op of the lab with one value of its choices.
type Client struct {
	Op       string            `json:"op"`
	With     string            `json:"with"`     // a choice other than the default, such as work=cpu; "" is none
	Backend  string            `json:"backend"`  // in a sentence, such as "the database"; "" is none
	Embedded bool              `json:"embedded"` // the backend is the lab's stand-in
	Settings map[string]string `json:"settings"` // what bounds a call, by family
	Delay    float64           `json:"delay_ms"`
	Timeout  float64           `json:"timeout_ms"`
}

// Name is the client's name in a text.
func (c Client) Name() string {
	if c.With == "" {
		return c.Op
	}
	return c.Op + ", " + c.With
}

// AtlasNetwork is a network of an atlas, and the lab's goroutines around the survey on it.
type AtlasNetwork struct {
	Profile   string   `json:"profile"`
	Driver    string   `json:"driver"`
	RoundTrip *float64 `json:"round_trip_ms"`
	Before    int      `json:"goroutines_before"`
	After     *int     `json:"goroutines_after"` // when all work had ended and idle connections were closed; nil after an interrupt
}

// LeftOut is an op without cells.
type LeftOut struct {
	Op  string `json:"op"`
	Why string `json:"why"`
}

// AtlasCell is a strategy with a client on a network.
type AtlasCell struct {
	Strategy string     `json:"strategy"`
	Op       string     `json:"op"`
	With     string     `json:"with"`
	Ctx      string     `json:"ctx"`
	Network  string     `json:"network"`
	Path     string     `json:"path"`          // the path and query of its runs
	Why      string     `json:"why,omitempty"` // why the lab runs no such call
	Runs     []AtlasRun `json:"runs,omitempty"`
}

// AtlasRun is a run of a cell, and a clean call on the same pool after it.
type AtlasRun struct {
	Receipt *receipt.View `json:"receipt"` // nil if the run was refused, or its receipt is gone
	Error   string        `json:"error,omitempty"`
	Clean   bool          `json:"clean_completed"`
	CleanMS float64       `json:"clean_ms"`
}

// ReadAtlas reads an atlas. An error that matches ErrNoResults means that the file is
// something else.
func ReadAtlas(r io.Reader) (*Atlas, error) {
	a := new(Atlas)
	err := json.NewDecoder(r).Decode(a)
	switch {
	case err != nil, a.Type != TypeAtlas, !a.named():
		return nil, fmt.Errorf("this is no whole atlas: these are %w", ErrNoResults)
	case a.Format != Format:
		return nil, fmt.Errorf("the atlas is of format %d, and this program reads format %d", a.Format, Format)
	}
	return a, nil
}

// named reports whether all that an atlas is of has its name.
func (a *Atlas) named() bool {
	return !slices.ContainsFunc(a.Strategies, func(s Strategy) bool { return s.Name == "" || s.Family == "" }) &&
		!slices.ContainsFunc(a.Clients, func(c Client) bool { return c.Op == "" }) &&
		!slices.ContainsFunc(a.Networks, func(n AtlasNetwork) bool { return n.Profile == "" }) &&
		!slices.ContainsFunc(a.Cells, func(c *AtlasCell) bool {
			return c == nil || c.Strategy == "" || c.Op == "" || c.Ctx == "" || c.Network == ""
		})
}

// Write writes the atlas as ReadAtlas reads it.
func (a *Atlas) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(a)
}

// Cell returns the cell of a combination, or nil.
func (a *Atlas) Cell(c Client, strategy, ctx, network string) *AtlasCell {
	i := slices.IndexFunc(a.Cells, func(of *AtlasCell) bool {
		return of.Op == c.Op && of.With == c.With && of.Strategy == strategy && of.Ctx == ctx && of.Network == network
	})
	if i < 0 {
		return nil
	}
	return a.Cells[i]
}

// Answer is when a cell's callers were answered.
type Answer string

// The answers of a cell.
const (
	AtOnce    Answer = "at once"    // well before the timeout, and the work goes on elsewhere
	OnTime    Answer = "on time"    // at the timeout
	TooLate   Answer = "late"       // the bound did not hold
	Unbounded Answer = "no bound"   // the strategy has no bound
	Fails     Answer = "fails"      // an error other than a timeout
	NotRun    Answer = "not run"    // the lab makes no such call
	Lost      Answer = "no receipt" // no run has a receipt
)

// Fate is what became of something after the answer.
type Fate string

// The fates of a call, of its backend's work, and of the pool.
const (
	Stopped Fate = "stopped"
	RanOn   Fate = "ran on"
	Unseen  Fate = "unseen" // nobody could see when it stopped
	Without Fate = ""       // the client has no such thing
)

// Judgement is what the runs of a cell have in common. Two cells with the same Kind have
// done the same.
type Judgement struct {
	Kind
	After      float64  // milliseconds of the answer after the timeout, a median; negative is before
	Straggle   *float64 // medians of the runs that know them
	Waste      *float64
	Goroutines int    // at the answer, the most of a run
	Closed     int    // runs that gave no connection back to the pool
	Seen       int    // with a receipt
	Dirty      int    // runs after which a clean call failed
	Error      string // of a run that failed
}

// Kind is a judgement without its figures.
type Kind struct {
	Answer        Answer
	Call, Backend Fate
	Closes        bool // most runs gave no connection back to the pool
	Spoils        bool // most clean calls after the runs failed
}

// patience is how much later than its timeout an answer may come under a bound that holds,
// in milliseconds, and how long work may go on that counts as stopped: a quarter of the time
// for which an uncut call would go on, so that a slow machine changes no judgement.
func (c Client) patience() float64 { return max(noise, (c.Delay-c.Timeout)/4) }

// Judge judges a cell by its receipts. Where the runs differ, the majority counts.
func (a *Atlas) Judge(c Client, cell *AtlasCell) Judgement {
	var o Judgement
	var after, straggles, wastes []float64
	failed := 0
	for _, run := range cell.Runs {
		r := run.Receipt
		if !run.Clean {
			o.Dirty++
		}
		if r == nil || r.Status == nil || r.Answered == nil {
			o.Error = run.Error
			continue
		}
		o.Seen++
		after = append(after, *r.Answered-c.Timeout)
		if r.Straggle != nil {
			straggles = append(straggles, *r.Straggle)
		}
		if r.Waste != nil {
			wastes = append(wastes, *r.Waste)
		}
		o.Goroutines = max(o.Goroutines, r.Goroutines)
		// A client may close a connection later, or one of its own beside the call's, as for a
		// cancel request; a call that keeps none has lost its connection.
		if c := r.Connections; c.Dialed+c.Reused > 0 && c.Kept == 0 {
			o.Closed++
		}
		if *r.Status == receipt.Failed {
			failed++
			if r.Error != nil {
				o.Error = r.Error.Message
			}
		}
	}
	o.Straggle, o.Waste = mostly(straggles, o.Seen), mostly(wastes, o.Seen)
	o.Spoils = 2*o.Dirty > len(cell.Runs)
	switch {
	case cell.Why != "", len(cell.Runs) == 0:
		o.Kind = Kind{Answer: NotRun}
		return o
	case o.Seen == 0:
		o.Kind = Kind{Answer: Lost}
		return o
	}
	o.After = stats.Median(after)
	o.Closes = 2*o.Closed > o.Seen
	o.Answer = a.answer(c, cell.Strategy, o, 2*failed > o.Seen)
	o.Call = fate(o.Straggle, c.patience())
	if c.Backend != "" {
		o.Backend = fate(o.Waste, c.patience())
	}
	return o
}

// mostly returns the median of values, or nil if fewer than half of all runs have one.
func mostly(values []float64, of int) *float64 {
	if 2*len(values) < of {
		return nil
	}
	return median(values)
}

func (a *Atlas) answer(c Client, strategy string, o Judgement, failed bool) Answer {
	unbounded := slices.ContainsFunc(a.Strategies, func(s Strategy) bool { return s.Name == strategy && s.Unbounded })
	switch {
	case failed:
		return Fails
	case unbounded:
		return Unbounded
	case o.After > c.patience():
		return TooLate
	case o.After < -c.Timeout/2:
		return AtOnce
	}
	return OnTime
}

// fate tells from the time for which something went on whether it stopped with the answer.
func fate(after *float64, patience float64) Fate {
	switch {
	case after == nil:
		return Unseen
	case *after > patience:
		return RanOn
	}
	return Stopped
}

// Clean reports whether the bound held, and is known to have left nothing behind.
func (k Kind) Clean() bool {
	return k.Answer == OnTime && k.Call == Stopped && (k.Backend == Stopped || k.Backend == Without) && !k.Spoils
}

// ID names the cell in a page and in the address of its receipt.
func (c *AtlasCell) ID() string {
	name := strings.Join([]string{c.Op, c.With, c.Strategy, c.Ctx, c.Network}, ".")
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '-':
			return r
		}
		return '-'
	}, strings.ReplaceAll(name, "..", "."))
}
