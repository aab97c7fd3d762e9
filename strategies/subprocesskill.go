package strategies

import (
	"context"
	"time"
)

func subprocessKill() Strategy {
	return Strategy{
		Name: "subprocess-kill", Family: OutsideProcess,
		Doc:     "Runs the op in a child process and kills the child's process group at the timeout, as gunicorn and uWSGI kill a worker: on time for aware and deaf ops alike, but each run starts a process within its timeout, and what the backend computes runs on.",
		Outside: InChild,
		Do:      SubprocessKill{}.Do,
	}
}

// SubprocessKill is the strategy subprocess-kill: Do calls ops that run in child
// processes, with a context that is cancelled at the timeout, and waits until the
// children are gone. An op kills its child when its context is done, as
// exec.CommandContext does; a child with a process group of its own is killed
// with the processes that it has started.
//
// A killed process can't clean up: the kernel closes its sockets, and a backend
// that doesn't look at its sockets works on. An op in this process is treated as
// under ContextCancel.
type SubprocessKill struct{}

// Do is the Do of a Strategy.
func (SubprocessKill) Do(ctx context.Context, timeout time.Duration, ops ...Op) error {
	return ContextCancel{}.Do(ctx, timeout, ops...)
}
