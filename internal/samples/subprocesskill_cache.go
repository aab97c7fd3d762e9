//go:build unix

package samples

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// SubprocessKillCache kills the process that makes the call, at the timeout: main calls
// BaselineCache with os.Args[2] and os.Args[3] where os.Args[1] is "cache", and prints the
// answer. A start of a process for each call is the price.
func SubprocessKillCache(ctx context.Context, addr, key string, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "cache", addr, key)
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a group of its own, with all that the child starts
	child.Cancel = func() error { return syscall.Kill(-child.Process.Pid, syscall.SIGKILL) }
	return child.Output()
}
