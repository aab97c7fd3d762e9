//go:build unix && !linux

package main

import "syscall"

// apart keeps a terminal's Ctrl-C from the lab, which is asked for what there is
// after it.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
