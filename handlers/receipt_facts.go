package handlers

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"

	"gotimeout/internal/badnet"
	"gotimeout/internal/receipt"
)

// particulars are what was asked for and what was left, in the order of the page.
func particulars(v receipt.View) (all [][2]string) {
	add := func(name, value string) {
		if value != "" {
			all = append(all, [2]string{name, value})
		}
	}
	add("op", v.Slow)
	add("ctx", v.Ctx)
	add("work", v.Work)
	add("backend", v.Backend)
	add("target", v.Target)
	add("delay", v.Delay)
	add("timeout", v.Timeout)
	for _, name := range slices.Sorted(maps.Keys(v.Timeouts)) {
		add(name, v.Timeouts[name])
	}
	if path, ok := v.Network.(*badnet.Path); ok {
		add("network", described(path))
	}
	if v.Prepared != nil {
		add("prepared before the start", spell(*v.Prepared))
	}
	add("started", v.Started)
	for _, of := range []struct {
		name string
		ms   *float64
	}{{"overshoot", v.Overshoot}, {"straggle", v.Straggle}, {"waste", v.Waste}} {
		if of.ms != nil {
			add(of.name, spell(*of.ms))
		}
	}
	add("goroutines left", strconv.Itoa(v.Goroutines))
	c := v.Connections
	add("connections", fmt.Sprintf("%d dialed, %d reused, %d kept, %d closed", c.Dialed, c.Reused, c.Kept, c.Closed))
	if c.Closed > 0 {
		add("closed by", fmt.Sprintf("%d FIN by us, %d FIN by the peer, %d RST, %d unknown", c.FINByUs, c.FINByPeer, c.RST, c.Unknown))
	}
	add("remedy", v.Remedy)
	return all
}

// again is the address of the same run.
func again(v receipt.View) string {
	q := url.Values{"op": {v.Slow}, "ctx": {v.Ctx}, "delay": {v.Delay}, "timeout": {v.Timeout}}
	for name, value := range map[string]string{"work": v.Work, "backend": v.Backend, "target": v.Target} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for name, value := range v.Timeouts {
		q.Set(name, value)
	}
	return "/" + v.Name + "?" + q.Encode()
}
