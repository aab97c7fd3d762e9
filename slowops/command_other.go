//go:build unix && !linux

package slowops

import "syscall"

// ownGroup gives a program a process group, whose number is the program's.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// groupRuns reports whether a process of the group runs, or has ended and was not waited for:
// this system tells no difference.
func groupRuns(group int) bool { return groupExists(group) }
