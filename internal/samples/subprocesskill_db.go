//go:build unix

package samples

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// SubprocessKillDB kills the process that makes the query, at the timeout: main calls
// BaselineDB with os.Args[2] and os.Args[3] where os.Args[1] is "db", and prints the
// answer. The query runs to its end in MySQL, as after a cancel: limit it there too.
func SubprocessKillDB(ctx context.Context, dsn, query string, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "db", dsn, query)
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a group of its own, with all that the child starts
	child.Cancel = func() error { return syscall.Kill(-child.Process.Pid, syscall.SIGKILL) }
	return child.Output()
}
