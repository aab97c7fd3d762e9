//go:build unix

package samples

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// SubprocessKillCPU kills the process that computes, at the timeout: main calls BaselineCPU
// with os.Args[2] where os.Args[1] is "cpu", and prints the sum. Nothing else ends a
// loop that checks nothing.
func SubprocessKillCPU(ctx context.Context, rounds int, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "cpu", strconv.Itoa(rounds))
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a group of its own, with all that the child starts
	child.Cancel = func() error { return syscall.Kill(-child.Process.Pid, syscall.SIGKILL) }
	return child.Output()
}
