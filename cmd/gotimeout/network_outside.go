package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/drivers"
	"gotimeout/internal/badnet/outside"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/prose"
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
		if ip := addr.Addr(); err != nil || !ip.IsLoopback() || ip.Is4In6() || ip.Zone() != "" || addr.Port() == 0 {
			return nil, usagef("--reach is %q: write an address of this machine's loopback and a port, as in 127.0.0.1:8080 or [::1]:8080", value)
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

// openOutside opens the way outside. Where there is none, closing it says how often the command
// has missed one.
func openOutside(open bool, p *private.Process, loopback *drivers.Loopback, to streams) (closeIt func(), err error) {
	if open {
		way, err := outside.NewStack(p, loopback.Packets())
		return func() { _ = way.Close() }, err
	}
	before, err := outside.Unrouted()
	return func() {
		if _, ended := loopback.Packets().Totals(); ended != nil {
			return // what went over a network that has ended had no way either
		}
		if now, failed := outside.Unrouted(); err == nil && failed == nil && now > before {
			fmt.Fprintf(to.err, "gotimeout: %s to connect outside had no way out: give --outside\n", prose.Count(now-before, "try"))
		}
	}, nil
}

// withNames adds the nameservers on the machine's own loopback, such as systemd-resolved's
// 127.0.0.53. The others are reached as they are.
func withNames(reach reachable) reachable {
	text, _ := os.ReadFile("/etc/resolv.conf") // without one the resolvers ask 127.0.0.1
	return addNames(reach, string(text))
}

func addNames(all reachable, resolvConf string) reachable {
	for line := range strings.Lines(resolvConf) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		addr, err := netip.ParseAddr(fields[1])
		if server := netip.AddrPortFrom(addr, 53); err == nil && addr.Is4() && addr.IsLoopback() && !slices.Contains(all, server) {
			all = append(all, server)
		}
	}
	return all
}
