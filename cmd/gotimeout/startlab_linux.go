package main

import "syscall"

// apart keeps a terminal's Ctrl-C from the lab, because the comparison still needs the lab
// then. It also ends the lab with this process, however this process ends.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
