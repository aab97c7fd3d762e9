// Package stacks names goroutines: work that is done by Do carries pprof labels, so that a profile
// of any tool shows whose it is, and Of finds the stacks of the work that goes on.
//
// A goroutine that goes on may be late, or may wait for what nobody can reach any more, so that it
// never ends. Go's goroutine leak profile tells the two apart, in a program that was built with
// GOEXPERIMENT=goroutineleakprofile (https://go.dev/issue/75280).
package stacks

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
)

// Do calls f on this goroutine under the labels strategy, op and receipt. Goroutines that f starts
// inherit them. It is pprof.Do without the closure: that costs an allocation, and each run is in Do.
func Do(ctx context.Context, strategy, op, receipt string, f func(context.Context) error) error {
	defer pprof.SetGoroutineLabels(ctx)
	ctx = pprof.WithLabels(ctx, pprof.Labels("strategy", strategy, "op", op, "receipt", receipt))
	pprof.SetGoroutineLabels(ctx)
	return f(ctx)
}

// Stack is the stack of goroutines that are at the same place.
type Stack struct {
	Goroutines int    `json:"goroutines"`
	Stack      string `json:"stack"` // a function and its place in the code, a line each
	// Leaked says that the goroutines can never end. It is nil in a program that was built without
	// the goroutine leak profile.
	Leaked *bool `json:"leaked"`
}

// Ends reports whether it is known that the goroutines can end.
func (s Stack) Ends() bool { return s.Leaked != nil && !*s.Leaked }

// doing is the function of a frame that only a goroutine inside Do has. Those that f has started
// have the labels without the frame; a client's idle connection keeps such goroutines.
const doing = "gotimeout/internal/stacks.Do"

// Of returns the stacks of the goroutines that are inside Do for that receipt. It stops the program
// for a moment, and with the goroutine leak profile it collects garbage.
func Of(receipt string) []Stack {
	all, _ := profile("goroutine")
	leaks, told := profile("goroutineleak") // after all, so that what has just begun to wait is in both
	found := []Stack{}
	for _, r := range all {
		if !r.has(receipt) {
			continue
		}
		s := Stack{Goroutines: r.goroutines, Stack: r.stack}
		if told {
			s.Leaked = new(false)
			for _, leak := range leaks {
				*s.Leaked = *s.Leaked || leak.labels == r.labels && leak.stack == r.stack
			}
		}
		found = append(found, s)
	}
	return found
}

// record is a stack of a profile, with its labels as the profile prints them.
type record struct {
	goroutines    int
	labels, stack string
}

func (r record) has(receipt string) bool {
	return strings.Contains(r.labels, fmt.Sprintf("%q:%q", "receipt", receipt)) && strings.Contains(r.stack, doing+"\n")
}

// profile reads a profile of goroutines, if this build has it, in its text form, whose records stand apart:
//
//	1 @ 0x47a5d2 0x4a7b3e
//	# labels: {"receipt":"577820-2"}
//	#	0x4a7b3d	time.Sleep+0x11d	/usr/local/go/src/runtime/time.go:363
func profile(name string) (all []record, exists bool) {
	p := pprof.Lookup(name)
	if p == nil {
		return nil, false
	}
	var text bytes.Buffer
	_ = p.WriteTo(&text, 1)                           // a buffer takes everything
	_, records, _ := strings.Cut(text.String(), "\n") // behind the total
	for block := range strings.SplitSeq(records, "\n\n") {
		var r record
		var stack strings.Builder
		for line := range strings.Lines(block) {
			fields := strings.Fields(line)
			switch labels, isLabels := strings.CutPrefix(line, "# labels: "); {
			case isLabels:
				r.labels = labels
			case len(fields) >= 4 && fields[0] == "#":
				name, _, _ := strings.Cut(fields[2], "+0x")
				fmt.Fprintf(&stack, "%s\n\t%s\n", name, strings.Join(fields[3:], " "))
			case len(fields) > 1 && fields[1] == "@":
				_, _ = fmt.Sscan(fields[0], &r.goroutines)
			}
		}
		if r.stack = stack.String(); r.goroutines > 0 {
			all = append(all, r)
		}
	}
	return all, true
}
