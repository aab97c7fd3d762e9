package network

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/netem"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/badnet/tun"
)

// shapers are the drivers of packets, in the order of auto.
var shapers = []struct {
	name  string
	works string // why it is one, in a sentence for a table
	open  func(seed uint64) (badnet.Driver, error)
}{
	{badnet.Netem, "the kernel's, on the loopback of a private network", func(uint64) (badnet.Driver, error) { return netem.Open("lo") }},
	{badnet.TUN, "our shaper of packets, on the TUN device of a private network", tun.Open},
}

// openPackets opens the driver of that name, or with auto the first that works
// and can do the plan, and applies that. The why is of all that were tried.
func openPackets(driver string, plan badnet.Plan, seed uint64) (name, why string, d badnet.Driver, err error) {
	var failed []error
	for _, s := range shapers {
		if driver != badnet.Auto && driver != s.name {
			continue
		}
		d, err := s.open(seed)
		if err == nil {
			if err = d.Apply(plan); err == nil {
				return s.name, because(driver, failed), d, nil
			}
			err = errors.Join(err, d.Close())
		}
		failed = append(failed, fmt.Errorf("%s: %w", s.name, err))
	}
	return "", "", nil, errors.Join(failed...)
}

func because(driver string, failed []error) string {
	switch {
	case driver != badnet.Auto:
		return "it was asked for"
	case len(failed) == 0:
		return "it is the first choice, and works here"
	}
	return "it works here, which can't be said of " + sentence(errors.Join(failed...))
}

// packets is the medium of a private network.
type packets struct {
	process  *private.Process
	driver   badnet.Driver
	echo     *echo
	ports    map[string]uint16 // of the backends
	carriers []*carrier
}

func newPackets(p *private.Process, d badnet.Driver) (*packets, error) {
	e, err := newEcho()
	return &packets{process: p, driver: d, echo: e, ports: map[string]uint16{}}, err
}

func (m *packets) attach(name, network, addr string, outside bool) (string, error) {
	dial := addr
	if outside {
		var err error
		if dial, err = m.carry(network, addr); err != nil {
			return "", err
		}
	}
	port, err := portOf(dial)
	m.ports[name] = port
	if !outside {
		dial = ""
	}
	return dial, err
}

func (m *packets) carry(network, addr string) (string, error) {
	c, err := newCarrier(m.process, network, addr)
	if err != nil {
		return "", err
	}
	m.carriers = append(m.carriers, c)
	return c.addr(), nil
}

func (m *packets) apply(probes badnet.Profile, backends map[string]badnet.Profile) error {
	plan := badnet.Plan{Ports: map[uint16]badnet.Profile{m.echo.port: probes}}
	for name, p := range backends {
		plan.Ports[m.ports[name]] = p
	}
	return m.driver.Apply(plan)
}

func (m *packets) probe() string { return m.echo.addr() }

func (m *packets) close() error {
	for _, c := range m.carriers {
		c.close()
	}
	m.echo.close()
	return m.driver.Close()
}

func portOf(addr string) (uint16, error) {
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	return uint16(port), err
}
