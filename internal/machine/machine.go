package machine

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// Machine is what a process runs on and is made of.
type Machine struct {
	OS         string            `json:"os"`     // GOOS/GOARCH
	Kernel     string            `json:"kernel"` // its release, as uname -r prints it
	CPU        string            `json:"cpu"`    // the model's name
	Processors int               `json:"processors"`
	Go         string            `json:"go"`
	Version    string            `json:"version"` // of gotimeout
	Modules    map[string]string `json:"modules"` // the versions of what it depends on
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

// version is set by the linker (-X gotimeout/internal/machine.version=v1) where the
// build doesn't see the repository, as in a container's or a PaaS's.
var version string

// Version is gotimeout's: what the build gave it, or that of its module, or of the
// commit that it was built of.
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
