package netem

import (
	"maps"
	"slices"

	"gotimeout/internal/badnet"
)

// maxBands is how many classes the kernel's prio has at most.
const maxBands = 16

// layout is a Plan as qdiscs: what each netem is told, and which packets go
// through which.
type layout struct {
	netems []params
	// Of the packets that no route takes, netems[0] gets those towards the lower
	// port and netems[1] the others, if split; otherwise netems[0] gets all.
	split  bool
	routes []route
}

// route says which of the netems lead to the server on a port, and back.
type route struct {
	port     uint16
	up, down int
}

// alone says that there is nothing to tell apart: one netem does it all.
func (l layout) alone() bool { return len(l.netems) == 1 }

// layoutOf lays a Plan out. Both directions of a loopback leave through the same
// link, so what depends on the packets before (the rate, the bursts of losses,
// the order that jitter keeps) needs a netem for each direction. Which end is
// the server doesn't matter where both are the same, and nothing tells it where
// they aren't. header is as in paramsOf.
func layoutOf(plan badnet.Plan, header int) (layout, error) {
	all := plan.All
	if all.Up != all.Down {
		return layout{}, badnet.Cannot("netem can't tell which end of a connection is the server, and up and down differ: name the server's port, make up and down the same, or use the tun driver")
	}
	var l layout
	links := []badnet.Link{all.Up}
	if all.Up.Rate > 0 || all.Up.Burst > 1 || all.Up.Jitter > 0 {
		links, l.split = append(links, all.Up), true
	}
	for _, port := range slices.Sorted(maps.Keys(plan.Ports)) {
		n := len(links)
		links = append(links, plan.Ports[port].Up, plan.Ports[port].Down)
		l.routes = append(l.routes, route{port, n, n + 1})
	}
	if len(links) > maxBands {
		return layout{}, badnet.Cannot("netem tells at most %d ports apart, and %d have a profile: name fewer, or use the tun driver", (maxBands-2)/2, len(plan.Ports))
	}
	for _, link := range links {
		p, err := paramsOf(link, header)
		if err != nil {
			return layout{}, err
		}
		l.netems = append(l.netems, p)
	}
	return l, nil
}

// duplicates says that packets are to come twice.
func (l layout) duplicates() bool {
	return slices.ContainsFunc(l.netems, func(p params) bool { return p.duplicate > 0 })
}
