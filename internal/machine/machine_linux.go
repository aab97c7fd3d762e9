package machine

import (
	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

func kernel() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

func model() string {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return ""
	}
	processors, err := proc.CPUInfo()
	if err != nil || len(processors) == 0 {
		return ""
	}
	return processors[0].ModelName
}
