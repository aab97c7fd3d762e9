//go:build unix

package samples

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// SubprocessKillHTTP kills the process that makes the call, at the timeout: main calls
// BaselineHTTP with os.Args[2] where os.Args[1] is "http", and prints the answer. A start
// of a process for each call is the price.
func SubprocessKillHTTP(ctx context.Context, url string, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "http", url)
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a group of its own, with all that the child starts
	child.Cancel = func() error { return syscall.Kill(-child.Process.Pid, syscall.SIGKILL) }
	return child.Output()
}
