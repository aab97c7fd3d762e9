package live

import (
	"errors"
	"fmt"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/probe"
	"gotimeout/internal/badnet/proxy"
)

// probesName is the name of the proxy in front of the echo.
const probesName = "probes"

// proxies attaches each backend through a proxy in front of it.
type proxies struct {
	fronts *proxy.Proxies
	echo   *probe.Echo
	addr   string // the address of the proxy in front of the echo
}

func newProxies() (*proxies, error) {
	e, err := probe.NewEcho(1)
	if err != nil {
		return nil, err
	}
	m := &proxies{fronts: proxy.New(), echo: e}
	if m.addr, err = m.fronts.Attach(probesName, e.Addr()); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

func (m *proxies) attach(name, network, addr string, _ bool) (string, badnet.Mortal, error) {
	if network != "tcp" {
		return "", nil, fmt.Errorf("a proxy can't be put in front of %s: the proxy driver carries only TCP, so name the server by host:port", addr)
	}
	dial, err := m.fronts.Attach(name, addr)
	if err != nil {
		return "", nil, err
	}
	return dial, m.fronts.Front(name), nil
}

func (m *proxies) apply(probes badnet.Profile, backends map[string]badnet.Profile) error {
	for _, p := range backends {
		if err := proxy.Check(p); err != nil {
			return err
		}
	}
	if err := m.fronts.Apply(probesName, probes); err != nil {
		return err
	}
	for name, p := range backends {
		if err := m.fronts.Apply(name, p); err != nil {
			return err
		}
	}
	return nil
}

func (m *proxies) way() probe.Way { return probe.Way{Driver: badnet.Proxy, Addr: m.addr} }

func (m *proxies) close() error {
	err := m.fronts.Close()
	m.echo.Close()
	return err
}
