package slowops

import (
	"slices"
	"syscall"

	"github.com/prometheus/procfs"
)

// ownGroup gives a program a process group, whose number is the program's, and ends
// the program with this process, however that ends.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// groupRuns reports whether a process of the group runs. A process that has ended stays in
// the group, as a zombie, until its parent has waited for it.
func groupRuns(group int) bool {
	if !groupExists(group) {
		return false
	}
	all, err := procfs.AllProcs()
	return err != nil || slices.ContainsFunc(all, func(p procfs.Proc) bool {
		stat, err := p.Stat()
		return err == nil && stat.PGRP == group && stat.State != "Z"
	})
}
