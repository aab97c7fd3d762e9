package live

import (
	"net"
	"strconv"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/drivers"
	"gotimeout/internal/badnet/outside"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/badnet/probe"
)

// packets attaches backends to the loopback of a private network.
type packets struct {
	process *private.Process
	name    string // of the driver
	driver  badnet.Driver
	echo    *probe.Echo
	apart   []uint16          // ports of the echo that have a queue of their own
	ports   map[string]uint16 // of the backends
	relays  []*outside.Relay
}

func newPackets(p *private.Process, name string, d badnet.Driver) (*packets, error) {
	e, err := probe.NewEcho(probe.Lanes)
	return &packets{process: p, name: name, driver: d, echo: e, ports: map[string]uint16{}}, err
}

func (p *packets) attach(name, network, addr string, relayed bool) (dial string, relay badnet.Mortal, err error) {
	if !relayed {
		p.ports[name], err = portOf(addr)
		return "", nil, err
	}
	if dial, relay, err = p.relayTo(network, addr); err == nil {
		p.ports[name], err = portOf(dial)
	}
	return dial, relay, err
}

func (p *packets) relayTo(network, addr string) (dial string, relay badnet.Mortal, err error) {
	r, err := outside.NewRelay(p.process, "127.0.0.1:0", network, addr)
	if err != nil {
		return "", nil, err
	}
	p.relays = append(p.relays, r)
	return r.Addr(), r, nil
}

func (p *packets) apply(probes badnet.Profile, backends map[string]badnet.Profile) (err error) {
	p.apart, err = drivers.Apart(p.echo.Ports, 1, func(apart []uint16) error {
		plan := badnet.Plan{Ports: map[uint16]badnet.Profile{}}
		for _, port := range apart {
			plan.Ports[port] = probes
		}
		for name, profile := range backends {
			plan.Ports[p.ports[name]] = profile
		}
		return p.driver.Apply(plan)
	})
	return err
}

func (p *packets) way() probe.Way {
	return probe.Way{Driver: p.name, Addr: p.echo.Addr(), Apart: p.apart}
}

func (p *packets) close() error {
	for _, r := range p.relays {
		_ = r.Close()
	}
	p.echo.Close()
	return p.driver.Close()
}

func portOf(addr string) (uint16, error) {
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	return uint16(port), err
}
