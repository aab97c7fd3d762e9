//go:build unix

package samples

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// SubprocessKillPostgres kills the process that makes the query, at the timeout: main calls
// BaselinePostgres where os.Args[1] is "postgres", and prints the answer. A killed process
// sends no cancel request, so the query runs to its end: give it a statement_timeout.
func SubprocessKillPostgres(ctx context.Context, url, query string, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "postgres", url, query)
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a group of its own, with all that the child starts
	child.Cancel = func() error { return syscall.Kill(-child.Process.Pid, syscall.SIGKILL) }
	return child.Output()
}
