package main

import "syscall"

// apart keeps a terminal's Ctrl-C from the lab, which is asked for what there is
// after it; and ends it with this process, however that ends.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
