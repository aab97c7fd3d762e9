//go:build unix

package samples

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// SubprocessKillGRPC kills the process that makes the call, at the timeout: main calls
// BaselineGRPC where os.Args[1] is "grpc". The server sees that its connection is gone, and no
// deadline: give the call in the child one too.
func SubprocessKillGRPC(ctx context.Context, target, in string, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "grpc", target, in)
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a group of its own, with all that the child starts
	child.Cancel = func() error { return syscall.Kill(-child.Process.Pid, syscall.SIGKILL) }
	return child.Output()
}
