package main

import "syscall"

// apart keeps a console's Ctrl-C from the lab, because the comparison still needs the lab
// then.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
