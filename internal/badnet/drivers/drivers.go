package drivers

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/netem"
	"gotimeout/internal/badnet/tun"
	"gotimeout/internal/prose"
)

// Entry is a driver in the list.
type Entry struct {
	Name   string
	Doc    string // what it is, in a few words
	Limits string // what it can't do, "" where there is nothing to know
	// Open opens the driver on the loopback of a private network. It is nil
	// where the driver has no packets and needs no private network.
	Open func(seed uint64) (badnet.Driver, error)
}

// About says what the driver is, and what it can't do.
func (e Entry) About() string {
	if e.Limits == "" {
		return e.Doc
	}
	return e.Doc + "; " + e.Limits
}

// All returns the drivers in the order in which auto tries them.
func All() []Entry {
	return []Entry{
		{badnet.Netem, "the kernel's netem", "", func(uint64) (badnet.Driver, error) { return netem.Open("lo") }},
		{badnet.TUN, "our packet shaper, on a TUN device", "", tun.Open},
		{
			badnet.Proxy, "a TCP proxy in front of each backend",
			"it neither delays a dial nor loses, corrupts, duplicates or reorders packets, and its jitter is uniform", nil,
		},
		{badnet.Without, "the network as it is", "", nil},
	}
}

// Names returns auto and the names of all drivers.
func Names() []string { return names(func(Entry) bool { return true }) }

// BadNames returns auto and the names of the drivers that make a network bad.
func BadNames() []string { return names(func(e Entry) bool { return e.Name != badnet.Without }) }

// PacketNames returns auto and the names of the drivers of packets.
func PacketNames() []string { return names(func(e Entry) bool { return e.Open != nil }) }

// Help says in a sentence what the names stand for.
func Help(names []string) string {
	var all []string
	for _, e := range All() {
		if slices.Contains(names, e.Name) {
			all = append(all, e.Name+", "+e.Doc)
		}
	}
	return strings.Join(all, "; ") + "; auto, the first that works here"
}

func names(of func(Entry) bool) []string {
	out := []string{badnet.Auto}
	for _, e := range All() {
		if of(e) {
			out = append(out, e.Name)
		}
	}
	return out
}

// Open opens the driver of packets with that name, or for auto the first that
// works and that apply, which makes the network bad with it, returns no error
// for. The why names every driver that was tried.
func Open(driver string, seed uint64, apply func(badnet.Driver) error) (name, why string, d badnet.Driver, err error) {
	var failed []error
	for _, e := range All() {
		if e.Open == nil || driver != badnet.Auto && driver != e.Name {
			continue
		}
		d, err := e.Open(seed)
		if err == nil {
			if err = apply(d); err == nil {
				return e.Name, because(driver, failed), d, nil
			}
			err = errors.Join(err, d.Close())
		}
		failed = append(failed, fmt.Errorf("%s: %w", e.Name, err))
	}
	return "", "", nil, errors.Join(failed...)
}

// Apart calls apply with ports that are to have a queue of their own, and with
// fewer of them, down to least, where the driver can't tell so many apart.
func Apart(ports []uint16, least int, apply func(ports []uint16) error) (apart []uint16, err error) {
	for n := len(ports); ; n /= 2 {
		n = max(n, least)
		if err = apply(ports[:n]); !errors.Is(err, badnet.ErrCannot) || n == least {
			return ports[:n], err
		}
	}
}

func because(driver string, failed []error) string {
	switch {
	case driver != badnet.Auto:
		return "it was asked for"
	case len(failed) == 0:
		return "it is the first choice, and works here"
	}
	return "it works here, which can't be said of " + prose.OneLine(errors.Join(failed...))
}

// Tried is a driver that was tried.
type Tried struct {
	Name  string `json:"driver"`
	Works bool   `json:"works"`
	Why   string `json:"why"` // not, or what it is
}

// Try opens each driver of packets in this private process, and closes it again.
func Try() []Tried {
	return try(func(e Entry) error {
		d, err := e.Open(1)
		if err == nil {
			err = d.Close()
		}
		return err
	})
}

// Refused returns the drivers as they are where there is no private network.
func Refused(reason error) []Tried {
	return try(func(Entry) error { return reason })
}

func try(open func(Entry) error) (all []Tried) {
	for _, e := range All() {
		t := Tried{e.Name, true, e.About()}
		if e.Open != nil {
			if err := open(e); err != nil {
				t.Works, t.Why = false, prose.OneLine(err)
			}
		}
		all = append(all, t)
	}
	return all
}

// Choice is the driver that auto takes.
func Choice(all []Tried) string {
	return all[slices.IndexFunc(all, func(t Tried) bool { return t.Works })].Name
}
