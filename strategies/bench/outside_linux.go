package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gotimeout/internal/badnet/netlog"
	"gotimeout/internal/stats"

	"github.com/vishvananda/netlink"
)

// way is how a program reaches a host outside: directly, or by the words before it.
type way struct {
	name  string
	words []string
}

// outsideRounds are in turns: direct, gotimeout and, where it is installed, pasta.
const outsideRounds = 7

// withOutside measures what leaves a private network, to an address of this one.
func withOutside(gotimeout string) error {
	if err := addDevice(); err != nil {
		return err
	}
	ways := []way{{name: "none"}, {"outside", outsideBy(gotimeout, "none")}}
	if _, err := exec.LookPath("pasta"); err == nil {
		ways = append(ways, way{"pasta", []string{"pasta", "--config-net", "--runas", "0", "--"}})
	}
	var addrs [2]string
	for i, server := range []func(string) (net.Listener, error){echo, source} {
		l, err := server(plain)
		if err != nil {
			return err
		}
		defer l.Close()
		addrs[i] = l.Addr().String()
	}
	trips, rates := make([][]time.Duration, len(ways)), make([][]float64, len(ways))
	for range outsideRounds {
		for i, w := range ways {
			var trip time.Duration
			var rate float64
			if err := w.part([]string{"outside", addrs[0], addrs[1]}, &trip, &rate); err != nil {
				return err
			}
			trips[i], rates[i] = append(trips[i], trip), append(rates[i], rate)
		}
	}
	fmt.Printf("Through the outside, medians of %d rounds in turns, each in a process of its own:\n\n", outsideRounds)
	networkHeader()
	direct := stats.Median(trips[0])
	for i, w := range ways {
		bar, trip := "", stats.Median(trips[i])
		if w.name == "outside" {
			bar = "150 µs over none's"
		}
		networkRow("round trip, p50", w.name, "", micros(trip), bar, trip-direct <= 150*time.Microsecond)
	}
	for i, w := range ways {
		bar, rate := "", estimateOf(rates[i])
		if w.name == "outside" {
			bar = "1 Gbit/s"
		}
		networkRow("one TCP stream", w.name, "", rate.text("%.2f Gbit/s"), bar, stats.Median(rates[i]) >= 1)
	}
	return outside3G(gotimeout, addrs)
}

// outside3G holds 100 connections at 3g against the profile. The rate is that of the packets, by
// the network's log: of the bytes in them, TCP sends many twice over a queue of seconds.
func outside3G(gotimeout string, addrs [2]string) error {
	dir, err := os.MkdirTemp("", "bench-outside")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "log")
	w := way{"outside", outsideBy(gotimeout, "3g", "--log", file)}
	var p50, p99 time.Duration
	if err := w.part([]string{"outside-100", addrs[0], addrs[1]}, &p50, &p99); err != nil {
		return err
	}
	rate, err := rateDown(file)
	if err != nil {
		return err
	}
	const asked, allowed, down = 300 * time.Millisecond, 7020 * time.Microsecond, 1.6 // as network check has them
	networkRow("3g, 100 connections, round trip p50", w.name, millis(asked), millis(p50), "± 7.02 ms", (p50-asked).Abs() <= allowed)
	networkRow("3g, 100 connections, round trip p99", w.name, millis(asked), millis(p99), "", true)
	networkRow("3g, 100 streams, rate down", w.name, "1.60 Mbit/s", fmt.Sprintf("%.3f Mbit/s", rate), "± 2%", rate >= 0.98*down && rate <= 1.02*down)
	fmt.Println()
	return nil
}

// rateDown returns the Mbit/s that a log has in ten of its last eleven seconds.
func rateDown(file string) (float64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	log, err := netlog.Read(f)
	if err != nil {
		return 0, err
	}
	const each, buckets = 100, 100 // of 100 ms
	last := len(log.Buckets) - 10
	if last < buckets {
		return 0, fmt.Errorf("the log has %d buckets", len(log.Buckets))
	}
	total := 0
	for _, b := range log.Buckets[last-buckets : last] {
		total += b.Down.Bytes
	}
	return 8 * float64(total) / (each * buckets * 1e3), nil
}

func outsideBy(gotimeout, profile string, flags ...string) []string {
	return append(append([]string{gotimeout, "network", "run", "--outside"}, flags...), profile, "--")
}

// part runs this program as a part on the other side of the way, and reads what it prints.
func (w way) part(words []string, figures ...any) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	all := append(append(slices.Clone(w.words), self, "as"), words...)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, all[0], all[1:]...).Output()
	if err == nil {
		_, err = fmt.Sscan(string(out), figures...)
	}
	if err != nil {
		return fmt.Errorf("%s printed %q: %w", strings.Join(all, " "), out, err)
	}
	return nil
}

// printOutside prints the median round trip in nanoseconds, and the Gbit/s of a stream.
func printOutside(echo, source string) error {
	trips, err := pingPong(echo, 2000)
	if err != nil {
		return err
	}
	slices.Sort(trips)
	rate, err := drain(source, time.Second)
	fmt.Println(int64(stats.Percentile(trips, 50)), 8*rate/1e9)
	return err
}

// printOutside100 prints the p50 and p99 of the round trips of 100 connections in nanoseconds, and
// then has 100 streams for 15 s.
func printOutside100(echo, source string) error {
	const flows, during = 100, 15 * time.Second
	trips, _, err := pings(echo, flows, 3, 2*time.Second)
	if err != nil {
		return err
	}
	fmt.Println(int64(stats.Percentile(trips, 50)), int64(stats.Percentile(trips, 99)))
	var streams sync.WaitGroup
	failed := make([]error, flows)
	for i := range flows {
		streams.Go(func() { _, failed[i] = drain(source, during) })
	}
	streams.Wait()
	return errors.Join(failed...)
}

// addDevice gives this network a device with a default route, without which pasta does not start.
func addDevice() error {
	device := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "bench0"}, PeerName: "bench1"}
	if err := netlink.LinkAdd(device); err != nil {
		return err
	}
	for _, name := range []string{"bench0", "bench1"} {
		link, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(link)
		}
		if err != nil {
			return err
		}
	}
	link, err := netlink.LinkByName("bench0")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 9, 0, 1), Mask: net.CIDRMask(24, 32)}}); err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.IPv4(10, 9, 0, 254)})
}
