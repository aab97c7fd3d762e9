package main

import "syscall"

// apart keeps a console's Ctrl-C from the lab, which is asked for what there is
// after it.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
