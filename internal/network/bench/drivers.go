//go:build linux

package main

import (
	"fmt"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/netem"
	"gotimeout/internal/badnet/tun"
)

// withNetem measures the kernel's driver, where there is one. It makes all
// addresses of the loopback bad, so that toxiproxy isn't beside it.
func withNetem() error {
	d, err := netem.Open("lo")
	if err != nil {
		fmt.Printf("netem: %v\n\n", err)
		return nil
	}
	fmt.Print("netem:\n\n")
	header()
	for _, delay := range []time.Duration{10, 50, 200} {
		if err := apply(d, "delay="+(delay*time.Millisecond).String()); err != nil {
			return err
		}
		if err := alone("netem", delay*time.Millisecond); err != nil {
			return err
		}
	}
	if err := losses(d, "netem"); err != nil {
		return err
	}
	fmt.Println()
	return d.Close()
}

// alone measures the round trips of a driver with nothing beside it.
func alone(name string, delay time.Duration) error {
	l, err := echo("127.0.0.1")
	if err != nil {
		return err
	}
	defer l.Close()
	trips, _, err := pings(l.Addr().String(), 200, 4, max(4*delay, 200*time.Millisecond))
	p50, p99 := off(trips, 2*delay)
	row("delay="+delay.String()+", off p50, p99", name, ms(2*delay), ms(p50)+", "+ms(p99), "0.5 ms, 2 ms",
		p50 <= 500*time.Microsecond && p99 <= 2*time.Millisecond)
	return err
}

// rounds are as many as keep a pause of the machine in one of them.
const rounds = 5

// withTUN measures the tun driver, and toxiproxy in turns with it.
func withTUN() error {
	d, err := tun.Open(1)
	if err != nil {
		return err
	}
	fmt.Printf("200 connections, each pings 64 bytes once in a period of two round trips, at least 200 ms; how far a round trip is off, median of %d rounds in turns:\n\n", rounds)
	header()
	for _, delay := range []time.Duration{10, 50, 200} {
		if err := delays(d, "tun", delay*time.Millisecond); err != nil {
			return err
		}
	}
	if err := dialing(d, "tun"); err != nil {
		return err
	}
	fmt.Printf("\n100,000 packets one way:\n\n")
	header()
	if err := losses(d, "tun"); err != nil {
		return err
	}
	fmt.Printf("\nNo delay, in turns:\n\n")
	header()
	if err := d.Apply(badnet.Plan{}); err != nil {
		return err
	}
	if err := idle("tun"); err != nil {
		return err
	}
	fmt.Println()
	return d.Close()
}

func apply(d badnet.Driver, text string) error {
	p, err := badnet.Parse(text)
	if err != nil {
		return err
	}
	return d.Apply(badnet.Plan{All: p})
}

// delays compares the round trips of a driver and of toxiproxy.
func delays(d badnet.Driver, name string, delay time.Duration) error {
	asked := 2 * delay
	if err := apply(d, "delay="+delay.String()); err != nil {
		return err
	}
	bad, err := echo("127.0.0.1")
	if err != nil {
		return err
	}
	defer bad.Close()
	good, err := echo(plain)
	if err != nil {
		return err
	}
	defer good.Close()
	proxy, err := toxic(good.Addr().String(), delay)
	if err != nil {
		return err
	}
	defer proxy.Stop()
	var offP50, offP99 [2]time.Duration
	var all [2][2][]time.Duration
	for range rounds {
		for i, addr := range []string{bad.Addr().String(), proxy.Listen} {
			period := max(2*asked, 200*time.Millisecond)
			trips, _, err := pings(addr, 200, int(max(3, 2*time.Second/period)), period)
			if err != nil {
				return err
			}
			p50, p99 := off(trips, asked)
			all[i][0], all[i][1] = append(all[i][0], p50), append(all[i][1], p99)
			offP50[i], offP99[i] = median(all[i][0]), median(all[i][1])
		}
	}
	what, text := "delay="+delay.String(), ms(asked)
	row(what+", off p50", name, text, ms(offP50[0]), "0.5 ms", offP50[0] <= 500*time.Microsecond)
	row(what+", off p99", name, text, ms(offP99[0]), "2 ms", offP99[0] <= 2*time.Millisecond)
	row(what+", off p50, p99", "toxiproxy", text, ms(offP50[1])+", "+ms(offP99[1]),
		"not better than "+name, offP50[0] <= offP50[1] && offP99[0] <= offP99[1])
	return nil
}

// dialing compares how long a connection takes that is 100 ms away.
func dialing(d badnet.Driver, name string) error {
	const delay = 100 * time.Millisecond
	if err := apply(d, "delay=100ms"); err != nil {
		return err
	}
	bad, err := echo("127.0.0.1")
	if err != nil {
		return err
	}
	defer bad.Close()
	good, err := echo(plain)
	if err != nil {
		return err
	}
	defer good.Close()
	proxy, err := toxic(good.Addr().String(), delay)
	if err != nil {
		return err
	}
	defer proxy.Stop()
	for i, addr := range []string{bad.Addr().String(), proxy.Listen} {
		_, dials, err := pings(addr, 10, 0, 500*time.Millisecond)
		if err != nil {
			return err
		}
		who, bar := name, "at least 200 ms"
		if i == 1 {
			who, bar = "toxiproxy", ""
		}
		row("a dial with delay=100ms", who, ms(2*delay), ms(median(dials)), bar, dials[0] >= 2*delay)
	}
	return nil
}
