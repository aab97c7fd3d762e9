package slowops

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"time"
)

// Command is the op command: a program that runs to its end. The program's input is
// empty and its output is dropped, unless they are set. An exit status other than 0 is an error, which
// doesn't quote the arguments.
//
// The program has a process group of its own, except on Windows, which has none. When
// ctx ends an aware call, the whole group is killed; that of a deaf call by Life alone. If
// other processes of the group run on after the program has ended, the call reports them to
// Observer.Orphaned and kills them.
type Command struct {
	Name string
	Args []string

	// InGroup leaves the program in the process group of this process, which something
	// else kills as a whole. Then only the program itself is killed with ctx, and no
	// process of its own is looked for.
	InGroup bool

	// Life kills the program when it ends, that of a deaf call too; nil never ends.
	Life context.Context

	Stdin  io.Reader
	Stdout io.Writer
}

// Do runs the program. When ctx ended an aware call, the error matches ctx.Err().
func (m Command) Do(ctx context.Context, c Call) error {
	ctx, cancel := c.context(ctx)
	defer cancel()
	ctx, end := context.WithCancel(ctx)
	defer end()
	if m.Life != nil {
		defer context.AfterFunc(m.Life, end)()
	}
	program := exec.CommandContext(ctx, m.Name, m.Args...)
	program.Stdin, program.Stdout = m.Stdin, m.Stdout
	if !m.InGroup {
		program.SysProcAttr = ownGroup()
		program.Cancel = func() error { return killGroup(program.Process) }
	}
	program.WaitDelay = time.Second // for a system without process groups
	// The kernel ends the program with the thread that started it (https://go.dev/issue/27505).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := program.Run()
	if !m.InGroup && program.Process != nil && ctx.Err() == nil && groupRuns(program.Process.Pid) {
		_ = killGroup(program.Process)
		call(c.Orphaned)
	}
	if err != nil && ctx.Err() != nil {
		err = limited(ctx, fmt.Errorf("%w: %w", ctx.Err(), err))
	}
	return keepSecret("command", err)
}
