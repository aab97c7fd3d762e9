package slowops

import "syscall"

// ownGroup gives a program a process group, whose number is the program's, and ends
// the program with this process, however that ends.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
