//go:build unix && !linux

package slowops

import "syscall"

// ownGroup gives a program a process group, whose number is the program's.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
