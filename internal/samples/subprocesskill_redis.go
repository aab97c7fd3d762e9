//go:build unix

package samples

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// SubprocessKillRedis kills the process that sends the command, at the timeout: main calls BaselineRedis
// where os.Args[1] is "redis", and prints the answer. The system closes the connection, and Redis ends
// a command that waits.
func SubprocessKillRedis(ctx context.Context, addr, key string, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "redis", addr, key)
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a group of its own, with all that the child starts
	child.Cancel = func() error { return syscall.Kill(-child.Process.Pid, syscall.SIGKILL) }
	return child.Output()
}
