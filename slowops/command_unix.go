//go:build unix

package slowops

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

func killGroup(leader *os.Process) error {
	if err := syscall.Kill(-leader.Pid, syscall.SIGKILL); err != nil {
		return os.ErrProcessDone
	}
	return nil
}

// groupRuns reports whether a process of the group runs. A process that has ended stays in
// the group until its parent has waited for it. On Linux groupRuns tells such a process
// from a running one.
func groupRuns(group int) bool {
	if syscall.Kill(-group, 0) != nil {
		return false
	}
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		text, _ := os.ReadFile(path)
		_, after, _ := strings.Cut(string(text), ") ") // the name of a program may have any other text
		var state string
		var parent, of int
		if _, err := fmt.Sscan(after, &state, &parent, &of); err == nil && of == group && state != "Z" {
			return true
		}
	}
	return len(all) == 0
}
