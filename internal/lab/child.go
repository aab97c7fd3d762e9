package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/receipt"
	"gotimeout/slowops"
)

// childCommand is the one argument of a child: a process of this program that makes the
// calls of one run. It reads an order and a start from its input, a line each, and writes
// notes to its output.
const childCommand = "child-of-a-run"

// IsChild reports whether a process with these arguments is a child, which must call Child and
// nothing else. A program that opens a lab asks it first.
func IsChild(args []string) bool { return len(args) == 2 && args[1] == childCommand }

// order tells a child what to prepare.
type order struct {
	Query                string // of the run
	Run                  string
	Ops                  []json.RawMessage // the settings of each op
	StandIns             []standIn
	MaxDelay, MaxTimeout time.Duration
}

// standIn is the backend of an op as a child reaches it: its parent's stand-in, or a real
// server.
type standIn struct {
	Name, Addr, Via string
	Embedded        bool
	Extra           json.RawMessage
}

// start tells a child to make the calls.
type start struct{ Traceparent string }

// note is what a child reports: a hook of slowops.Observer, or the end.
type note struct {
	Is            string         `json:"is"`
	Phase         int            `json:"phase,omitempty"` // the number of a phase; 0 is the start of the child
	Op            string         `json:"op,omitempty"`
	Text          string         `json:"text,omitempty"` // a name, a remedy, how a connection was closed, or an error
	Local, Remote netip.AddrPort `json:",omitzero"`
	Code          string         `json:"code,omitempty"`    // of an error
	Matches       []int          `json:"matches,omitempty"` // which of sentinels an error matches
}

// sentinels are the errors by which callers tell calls apart.
func sentinels() []error { return []error{slowops.ErrLimit, slowops.ErrNotSent, errAnswered} }

// errAnswered is matched by the error of a child that is the answer of its server.
var errAnswered = errors.New("the server has answered")

// inChild is the Outside of a child.
func (l *Lab) inChild(query string, call slowops.Call) (handlers.Part, error) {
	order := order{Query: query, Run: call.Run, MaxDelay: l.MaxDelay, MaxTimeout: l.MaxTimeout}
	for _, op := range l.settings.Ops {
		settings, err := json.Marshal(op)
		if err != nil {
			return nil, err
		}
		order.Ops = append(order.Ops, settings)
	}
	for _, b := range l.backends {
		of := standIn{Name: b.name, Addr: b.addr, Via: b.via, Embedded: b.embedded != nil}
		if b.extra != nil {
			extra, err := json.Marshal(b.extra())
			if err != nil {
				return nil, err
			}
			of.Extra = extra
		}
		order.StandIns = append(order.StandIns, of)
	}
	program, err := thisProgram()
	if err != nil {
		return nil, fmt.Errorf("the run needs a child, and this program can't be found: %w", err)
	}
	call.Orphaned = func() { l.report(call.Run, (*receipt.Receipt).Orphaned) }
	c := &child{observer: call.Observer, over: make(chan struct{}), run: l.runProgram}
	if err := c.begin(slowops.Command{Name: program, Args: []string{childCommand}}, order); err != nil {
		return nil, fmt.Errorf("the run needs a child: %w", err)
	}
	return c.do, nil
}

// thisProgram returns a path of the program of this process. Where the system has /proc it is that
// program also when its file has been replaced, as by an upgrade.
func thisProgram() (string, error) {
	const path = "/proc/self/exe"
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return os.Executable()
}

// child is a process that makes the calls of one run.
type child struct {
	observer slowops.Observer
	run      func(context.Context, slowops.Command, slowops.Call) error
	kill     context.CancelFunc // kills the child and its process group
	tell     *os.File
	started  sync.Once
	over     chan struct{} // closed when the process has ended and been waited for
	err      error         // of the run; set before over is closed
}

// begin starts the process and gives it the order, and doesn't wait until the process runs. A child
// that isn't killed ends by itself, at the latest when its bound on a call has passed.
func (c *child) begin(program slowops.Command, order order) error {
	input, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	notes, output, err := os.Pipe()
	if err != nil {
		input.Close()
		tell.Close()
		return err
	}
	c.tell = tell
	program.Stdin, program.Stdout = input, output
	ctx, kill := context.WithCancel(context.Background())
	c.kill = kill
	said := make(chan error, 1)
	go func() { said <- c.follow(notes) }()
	go func() {
		defer close(c.over)
		defer kill()
		err := c.run(ctx, program, slowops.Call{Observer: slowops.Observer{Orphaned: c.observer.Orphaned}})
		input.Close()
		output.Close()
		tell.Close()
		c.err = <-said
		notes.Close()
		switch {
		case c.err != errSilent:
		case ctx.Err() != nil:
			c.err = errKilled
		default:
			c.err = fmt.Errorf("%w: %w", errSilent, err)
		}
	}()
	return json.NewEncoder(tell).Encode(order) // fits into the pipe, or the child reads it
}

// The errors of a child that didn't say how its run ended.
var (
	errKilled = errors.New("the child was killed")
	errSilent = errors.New("the child ended without an answer")
)

// follow passes the notes of a child on, and returns the error of the run. The child's start is the
// first phase. It ends the phases that were cut, and closes the connections that the process had
// open at its end.
func (c *child) follow(notes io.Reader) error {
	o, open, err := &c.observer, 0, errSilent
	ends := map[int]func(error){0: o.Phase("", handlers.PhaseStart)} // of the phases that go on
	ended := func(phase int, err error) {
		if end := ends[phase]; end != nil {
			end(err)
			delete(ends, phase)
		}
	}
	dec := json.NewDecoder(notes)
	for n := (note{}); dec.Decode(&n) == nil; n = (note{}) {
		switch n.Is {
		case "dialed":
			open++
			o.Dialed()
		case "reused":
			open++
			o.Reused()
		case "kept":
			o.Kept()
		case "closed":
			open--
			o.Closed(n.Text, n.Local, n.Remote)
		case "outlived":
			defer o.Outlived(n.Text)() // it ends with the process
		case "phase":
			ended(n.Phase, errKilled)
			ends[n.Phase] = o.Phase(n.Op, n.Text)
		case "phased":
			ended(n.Phase, n.failure())
		case "done":
			if err = n.failure(); err != nil {
				open = 0 // they are closed, or were never open
			}
		}
	}
	for phase := range ends {
		ended(phase, errKilled)
	}
	for range open {
		o.Closed("", netip.AddrPort{}, netip.AddrPort{}) // by the kernel
	}
	return err
}

// do has the child make the calls. It kills the child when ctx is done.
func (c *child) do(ctx context.Context, call slowops.Call) error {
	c.started.Do(func() { _ = json.NewEncoder(c.tell).Encode(start{call.Traceparent}) }) // fails only when the child has ended
	select {
	case <-c.over:
		return c.err
	case <-ctx.Done():
	}
	c.kill()
	<-c.over
	if c.err == nil {
		return nil // the child was faster
	}
	return fmt.Errorf("%w: %w", ctx.Err(), c.err)
}

// failed returns the note of an error, which is nil for a success.
func failed(is string, phase int, err error) note {
	n := note{Is: is, Phase: phase}
	if err == nil {
		return n
	}
	n.Text = err.Error()
	for i, of := range sentinels() {
		if errors.Is(err, of) {
			n.Matches = append(n.Matches, i)
		}
	}
	var coded interface{ Code() string }
	if errors.As(err, &coded) {
		n.Code = coded.Code()
	}
	return n
}

// failure returns the error of a note, or nil.
func (n note) failure() error {
	if n.Text == "" {
		return nil
	}
	return &childError{n}
}

// childError is the error of a call in a child.
type childError struct{ note }

func (e *childError) Error() string { return e.note.Text }
func (e *childError) Code() string  { return e.note.Code }
func (e *childError) Timeout() bool { return false }
func (e *childError) Is(target error) bool {
	at := slices.Index(sentinels(), target)
	return at >= 0 && slices.Contains(e.Matches, at)
}

// isChild reports whether the lab is that of a child, whose backends are its parent's.
func (l *Lab) isChild() bool { return l.parent != nil }

// parentsOf returns the parent's backend of that name, nil in a lab that is no child.
func (l *Lab) parentsOf(name string) *standIn {
	for i := range l.parent {
		if l.parent[i].Name == name {
			return &l.parent[i]
		}
	}
	return nil
}

// Child makes the calls of a run as its parent orders, and reports to it. The parent has the
// run's error in a note, so the error of Child is one of the pipes.
func Child(ctx context.Context, in io.Reader, out io.Writer) error {
	told := json.NewDecoder(bufio.NewReader(in))
	var o order
	if err := told.Decode(&o); err != nil {
		return fmt.Errorf("%s is started by gotimeout alone: %w", childCommand, err)
	}
	to := &reporter{to: json.NewEncoder(out)}
	l := &Lab{parent: o.StandIns, Lab: &handlers.Lab{
		Ledger:   receipt.NewLedger("child", 1, receipt.Limits{}),
		MaxDelay: o.MaxDelay, MaxTimeout: o.MaxTimeout, Log: slog.New(slog.DiscardHandler),
	}}
	defer l.Close()
	run, err := l.openChild(ctx, o)
	if err != nil {
		return to.say(failed("done", 0, err))
	}
	if err := to.say(failed("phased", 0, nil)); err != nil {
		return err
	}
	var s start
	if err := told.Decode(&s); err != nil {
		return nil // the parent doesn't need the run any more
	}
	err = l.answeredBy(run(ctx, slowops.Call{Run: o.Run, Traceparent: s.Traceparent, Observer: to.observer()}))
	return to.say(failed("done", 0, err))
}

// ops are the ops of the lab with the parent's settings.
func (o order) ops() ([]Op, error) {
	ops := Ops()
	if len(o.Ops) > len(ops) {
		return nil, fmt.Errorf("the order has settings of %d ops, and the lab has %d", len(o.Ops), len(ops))
	}
	for i, settings := range o.Ops {
		if err := json.Unmarshal(settings, ops[i]); err != nil {
			return nil, err
		}
		if _, err := ops[i].Read(func(string) string { return "" }); err != nil {
			return nil, err
		}
	}
	return ops, nil
}

// openChild opens the ops on the parent's backends, and prepares the run.
func (l *Lab) openChild(ctx context.Context, o order) (run handlers.Part, err error) {
	ops, err := o.ops()
	if err != nil {
		return nil, err
	}
	if l.Ops, err = l.openOps(ops); err != nil {
		return nil, err
	}
	return l.Inside(ctx, o.Query)
}

// answeredBy returns the error of a run, which matches errAnswered where it is the answer of a server.
func (l *Lab) answeredBy(err error) error {
	for _, b := range l.backends {
		if err != nil && b.answered != nil && b.answered(err) {
			return answeredError{err}
		}
	}
	return err
}

// answeredError matches errAnswered.
type answeredError struct{ error }

func (e answeredError) Is(target error) bool { return target == errAnswered }
func (e answeredError) Unwrap() error        { return e.error }

// reporter writes the notes of a child.
type reporter struct {
	mu     sync.Mutex
	to     *json.Encoder
	phases int
}

func (r *reporter) say(n note) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.to.Encode(n)
}

// observer returns the hooks of the child's calls.
func (r *reporter) observer() slowops.Observer {
	says := func(is string) func() { return func() { _ = r.say(note{Is: is}) } } // fails only without a parent
	return slowops.Observer{
		Dialed: says("dialed"), Reused: says("reused"), Kept: says("kept"),
		Closed: func(how string, local, remote netip.AddrPort) {
			_ = r.say(note{Is: "closed", Text: how, Local: local, Remote: remote})
		},
		Outlived: func(remedy string) func() {
			_ = r.say(note{Is: "outlived", Text: remedy})
			return func() {} // the parent sees the end of the process
		},
		Phase: func(op, name string) func(error) {
			r.mu.Lock()
			r.phases++
			n := r.phases
			r.mu.Unlock()
			_ = r.say(note{Is: "phase", Phase: n, Op: op, Text: name})
			return func(err error) { _ = r.say(failed("phased", n, err)) }
		},
	}
}
