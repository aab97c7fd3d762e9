package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/outside"
	"gotimeout/internal/badnet/private"
)

// reachable is what --reach names: ports of the loopback outside.
type reachable []netip.AddrPort

// readReach reads the values of --reach.
func readReach(values []string) (all reachable, err error) {
	for _, value := range values {
		text := value
		if port, ok := strings.CutPrefix(value, "localhost:"); ok {
			text = "127.0.0.1:" + port
		}
		addr, err := netip.ParseAddrPort(text)
		if err != nil || !addr.Addr().Is4() || !addr.Addr().IsLoopback() || addr.Port() == 0 {
			return nil, usagef("--reach is %q: write an address of this machine's loopback and a port, as in 127.0.0.1:8080", value)
		}
		if slices.Contains(all, addr) {
			return nil, usagef("--reach names %s twice: name each port once", addr)
		}
		all = append(all, addr)
	}
	return all, nil
}

// servers are those that the process outside dials.
func (r reachable) servers() (all []private.Server) {
	for _, addr := range r {
		all = append(all, private.Server{Network: "tcp", Addr: addr.String()}, private.Server{Network: "udp", Addr: addr.String()})
	}
	return all
}

// open makes the ports reachable, on the same addresses of the private network, through the relays.
func (r reachable) open(p *private.Process) (relays []badnet.Mortal, closeAll func() error, err error) {
	var open []io.Closer
	closeAll = func() (err error) {
		for _, relay := range open {
			err = errors.Join(err, relay.Close())
		}
		return err
	}
	for _, addr := range r {
		stream, err := outside.NewRelay(p, addr.String(), "tcp", addr.String())
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("--reach %s: %w", addr, err), closeAll())
		}
		open = append(open, stream)
		datagrams, err := outside.NewDatagrams(p, addr.String(), addr.String())
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("--reach %s: %w", addr, err), closeAll())
		}
		open = append(open, datagrams)
		relays = append(relays, stream, datagrams)
	}
	return relays, closeAll, nil
}
