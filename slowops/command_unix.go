//go:build unix

package slowops

import (
	"os"
	"syscall"
)

func killGroup(leader *os.Process) error {
	if err := syscall.Kill(-leader.Pid, syscall.SIGKILL); err != nil {
		return os.ErrProcessDone
	}
	return nil
}

func groupExists(group int) bool { return syscall.Kill(-group, 0) == nil }
