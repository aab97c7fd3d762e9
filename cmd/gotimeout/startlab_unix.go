//go:build unix && !linux

package main

import "syscall"

// apart keeps a terminal's Ctrl-C from the lab, because the comparison still needs the lab
// then.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
