//go:build linux

package main

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/rs/zerolog/log"
	"github.com/vishvananda/netlink"
)

// plain is an address of the private loopback that no driver touches.
const plain = "10.99.0.1"

func addPlain() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(plain), Mask: net.CIDRMask(32, 32)}})
}

// toxic starts toxiproxy, as its users do, in front of a server, with the delay
// one way. The caller stops it.
func toxic(upstream string, delay time.Duration) (*toxiproxy.Proxy, error) {
	log.Logger = zerolog.Nop()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(server, "bench", plain+":0", upstream)
	if err := p.Start(); err != nil {
		return nil, err
	}
	if delay == 0 {
		return p, nil
	}
	for _, stream := range []string{"upstream", "downstream"} {
		text := fmt.Sprintf(`{"type": "latency", "stream": %q, "attributes": {"latency": %d}}`, stream, delay.Milliseconds())
		if _, err := p.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
			p.Stop()
			return nil, err
		}
	}
	return p, nil
}
