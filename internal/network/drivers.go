package network

import (
	"gotimeout/internal/badnet"
)

// Tried is a driver that was tried.
type Tried struct {
	Name  string
	Works bool
	Why   string
}

// TryDrivers opens each driver of packets in this private process, and closes
// it again.
func TryDrivers() []Tried {
	var all []Tried
	for _, s := range shapers {
		d, err := s.open(1)
		if err == nil {
			err = d.Close()
		}
		t := Tried{s.name, err == nil, s.works}
		if err != nil {
			t.Why = sentence(err)
		}
		all = append(all, t)
	}
	return append(all, always...)
}

// RefusedDrivers are the drivers where there is no private network to try them
// in.
func RefusedDrivers(reason error) []Tried {
	var all []Tried
	for _, s := range shapers {
		all = append(all, Tried{s.name, false, sentence(reason)})
	}
	return append(all, always...)
}

var always = []Tried{
	{badnet.Proxy, true, "in front of each of the lab's backends; it neither delays a dial nor loses, duplicates or reorders packets, and its jitter is uniform"},
	{badnet.Without, true, "the network as it is"},
}

// Choice is the driver that auto takes.
func Choice(all []Tried) string {
	for _, t := range all {
		if t.Works {
			return t.Name
		}
	}
	return badnet.Without
}
