// Package machine describes what a measurement was made on: the system, the processors, Go, and the versions of the modules
// that are built in; and what this process has used so far.
//
// The package only reads. What the system does not show is empty or zero, never a guess.
package machine

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Machine is the machine and the program of a process.
type Machine struct {
	OS         string            `json:"os"`     // GOOS/GOARCH
	Kernel     string            `json:"kernel"` // its release, as uname -r prints it
	CPU        string            `json:"cpu"`    // the model's name
	Processors int               `json:"processors"`
	Go         string            `json:"go"`
	Version    string            `json:"version"` // of gotimeout
	Modules    map[string]string `json:"modules"` // the version of each module that the program depends on
}

// This describes this process.
func This() Machine {
	m := Machine{
		OS:         runtime.GOOS + "/" + runtime.GOARCH,
		Kernel:     kernel(),
		CPU:        model(),
		Processors: runtime.NumCPU(),
		Go:         runtime.Version(),
		Version:    Version(),
		Modules:    map[string]string{},
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			m.Modules[dep.Path] = dep.Version
		}
	}
	return m
}

// version is set by the linker (-X gotimeout/internal/machine.version=v1) where the build does not see the repository, as in a
// container or on a PaaS.
var version string

// Version returns gotimeout's version: the linker's, or else the module's, or else the commit that the program was built from.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	var commit, dirty string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	return cmp.Or(commit+dirty, "devel")
}

// Usage is what this process has used since it began, and what it holds.
type Usage struct {
	Goroutines    int
	ProcessorTime time.Duration
	Allocated     uint64 // bytes on the heap, freed or not
}

// Used returns what this process has used so far. It does not stop the world.
func Used() Usage {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return Usage{runtime.NumGoroutine(), processorTime(), sample[0].Value.Uint64()}
}
