package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/netem"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/badnet/tun"
	"gotimeout/internal/stats"
)

// network compares the drivers of bad networks with each other and with toxiproxy, and
// measures gotimeout on them.
//
// One process measures two networks, at once or in turns: the driver has 127.0.0.1 of the
// loopback, and another address of the same loopback stays as it is. An outlier in both
// comes from the machine.
func network(ctx context.Context, b built) error {
	if private.Inside() {
		return inside(b.path("gotimeout"))
	}
	before := stolen()
	defer func() {
		fmt.Printf("\nProcessor time that the machine's host took meanwhile: %s, in pauses that every row has its share of.\n", stolen()-before)
	}()
	status, err := private.Run(private.Outside{})
	if err == nil && status != 0 {
		err = errors.New("the part in a private network has failed")
	}
	if err != nil {
		return err
	}
	return programs(ctx, b.path("gotimeout"))
}

// inside measures in a private network.
func inside(gotimeout string) error {
	if _, err := private.Enter(false); err != nil {
		return err
	}
	if err := addPlain(); err != nil {
		return err
	}
	for _, part := range []func() error{withNetem, withTUN, func() error { return withOutside(gotimeout) }} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// stolen returns how long the processors of this virtual machine have waited for those of
// the host.
func stolen() time.Duration {
	const tick, steal = 10 * time.Millisecond, 8
	text, _ := os.ReadFile("/proc/stat")
	fields := strings.Fields(string(text))
	if len(fields) <= steal {
		return 0
	}
	ticks, _ := strconv.Atoi(fields[steal])
	return time.Duration(ticks) * tick
}

// withNetem measures netem, where the kernel has it. netem makes all addresses of the
// loopback bad, so toxiproxy can't be measured beside it.
func withNetem() error {
	d, err := netem.Open("lo")
	if err != nil {
		fmt.Printf("netem: %v\n\n", err)
		return nil
	}
	fmt.Print("netem:\n\n")
	networkHeader()
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

// alone measures the round trips of a driver without another network beside it.
func alone(name string, delay time.Duration) error {
	l, err := echo("127.0.0.1")
	if err != nil {
		return err
	}
	defer l.Close()
	trips, _, err := pings(l.Addr().String(), 200, 4, max(4*delay, 200*time.Millisecond))
	p50, p99 := off(trips, 2*delay)
	networkRow("delay="+delay.String()+", off p50, p99", name, millis(2*delay), millis(p50)+", "+millis(p99), "0.5 ms, 2 ms",
		p50 <= 500*time.Microsecond && p99 <= 2*time.Millisecond)
	return err
}

// driverRounds are so many that a pause of the machine doesn't change the median.
const driverRounds = 5

// withTUN measures the tun driver, and toxiproxy in turns with it.
func withTUN() error {
	d, err := tun.Open(1)
	if err != nil {
		return err
	}
	fmt.Printf("200 connections, each pings 64 bytes once in a period of two round trips, at least 200 ms; how far a round trip is off, median of %d rounds in turns:\n\n", driverRounds)
	networkHeader()
	for _, delay := range []time.Duration{10, 50, 200} {
		if err := delays(d, "tun", delay*time.Millisecond); err != nil {
			return err
		}
	}
	if err := dialing(d, "tun"); err != nil {
		return err
	}
	fmt.Printf("\n100,000 packets one way:\n\n")
	networkHeader()
	if err := losses(d, "tun"); err != nil {
		return err
	}
	fmt.Printf("\nMany connections, a link by trace and outages:\n\n")
	networkHeader()
	for _, part := range []func(badnet.Driver, string) error{manyFlows, tracedLink, outages} {
		if err := part(d, "tun"); err != nil {
			return err
		}
	}
	fmt.Printf("\nNo delay, in turns:\n\n")
	networkHeader()
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
	p, err := badnet.ParseWithFiles(text)
	if err != nil {
		return err
	}
	return d.Apply(badnet.Plan{All: p})
}

// facing serves three addresses: one on the bad network, one without a network, and
// toxiproxy's in front of the latter.
func facing(server func(host string) (net.Listener, error), delay time.Duration) (addrs [3]string, closeAll func(), err error) {
	bad, err := server("127.0.0.1")
	if err != nil {
		return addrs, nil, err
	}
	good, err := server(plain)
	if err != nil {
		return addrs, nil, errors.Join(err, bad.Close())
	}
	proxy, err := toxic(good.Addr().String(), delay)
	if err != nil {
		return addrs, nil, errors.Join(err, bad.Close(), good.Close())
	}
	addrs = [3]string{bad.Addr().String(), good.Addr().String(), proxy.Listen}
	return addrs, func() { proxy.Stop(); good.Close(); bad.Close() }, nil
}

// delays compares the round trips of a driver and of toxiproxy.
func delays(d badnet.Driver, name string, delay time.Duration) error {
	asked := 2 * delay
	if err := apply(d, "delay="+delay.String()); err != nil {
		return err
	}
	addrs, closeAll, err := facing(echo, delay)
	if err != nil {
		return err
	}
	defer closeAll()
	var offP50, offP99 [2]time.Duration
	var all [2][2][]time.Duration
	for range driverRounds {
		for i, addr := range []string{addrs[0], addrs[2]} {
			period := max(2*asked, 200*time.Millisecond)
			trips, _, err := pings(addr, 200, int(max(3, 2*time.Second/period)), period)
			if err != nil {
				return err
			}
			p50, p99 := off(trips, asked)
			all[i][0], all[i][1] = append(all[i][0], p50), append(all[i][1], p99)
			offP50[i], offP99[i] = stats.Median(all[i][0]), stats.Median(all[i][1])
		}
	}
	what, text := "delay="+delay.String(), millis(asked)
	networkRow(what+", off p50", name, text, millis(offP50[0]), "0.5 ms", offP50[0] <= 500*time.Microsecond)
	networkRow(what+", off p99", name, text, millis(offP99[0]), "2 ms", offP99[0] <= 2*time.Millisecond)
	networkRow(what+", off p50, p99", "toxiproxy", text, millis(offP50[1])+", "+millis(offP99[1]),
		"not better than "+name, offP50[0] <= offP50[1] && offP99[0] <= offP99[1])
	return nil
}

// dialing compares how long a dial takes over a delay of 100 ms.
func dialing(d badnet.Driver, name string) error {
	const delay = 100 * time.Millisecond
	if err := apply(d, "delay=100ms"); err != nil {
		return err
	}
	addrs, closeAll, err := facing(echo, delay)
	if err != nil {
		return err
	}
	defer closeAll()
	for i, addr := range []string{addrs[0], addrs[2]} {
		_, dials, err := pings(addr, 10, 0, 500*time.Millisecond)
		if err != nil {
			return err
		}
		who, bar := name, "at least 200 ms"
		if i == 1 {
			who, bar = "toxiproxy", ""
		}
		networkRow("a dial with delay=100ms", who, millis(2*delay), millis(stats.Median(dials)), bar, dials[0] >= 2*delay)
	}
	return nil
}

// idle compares networks without any fault, in turns.
func idle(name string) error {
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
	var trips [2][]time.Duration
	for range 20 {
		for i, l := range []net.Listener{bad, good} {
			own, err := pingPong(l.Addr().String(), 500)
			if err != nil {
				return err
			}
			trips[i] = append(trips[i], own...)
		}
	}
	slices.Sort(trips[0])
	slices.Sort(trips[1])
	more := stats.Percentile(trips[0], 50) - stats.Percentile(trips[1], 50)
	networkRow("round trip, p50", "none", "", micros(stats.Percentile(trips[1], 50)), "", true)
	networkRow("round trip, p50", name, "", micros(stats.Percentile(trips[0], 50)), "30 µs over none's", more <= 30*time.Microsecond)
	return streams(name)
}

func micros(d time.Duration) string { return fmt.Sprintf("%.1f µs", float64(d)/1e3) }

// streams compares the throughput of one connection.
func streams(name string) error {
	addrs, closeAll, err := facing(source, 0)
	if err != nil {
		return err
	}
	defer closeAll()
	var rates [3][]float64
	for range 7 {
		for i, addr := range addrs {
			rate, err := drain(addr, 400*time.Millisecond)
			if err != nil {
				return err
			}
			rates[i] = append(rates[i], rate)
		}
	}
	text := func(i int) string { return fmt.Sprintf("%.2f GB/s", stats.Median(rates[i])/1e9) }
	networkRow("one TCP stream", "none", "", text(1), "", true)
	networkRow("one TCP stream", "toxiproxy", "", text(2), "", true)
	share := estimateOf(pairwise(rates[0], rates[1], ratio))
	row("one TCP stream", name, "", text(0)+", "+share.text("%.2f")+" × none's", "0.75 × none's", share.atLeast(0.75).String())
	return nil
}

const packets = 100_000

// losses measures the share of packets that a driver loses, and the length of its bursts.
func losses(d badnet.Driver, name string) error {
	const share = 0.05
	for _, test := range []struct {
		text  string
		burst float64 // by chance alone 1/(1-share)
	}{{"loss=5%", 1 / (1 - share)}, {"loss=5%,burst=3", 3}} {
		if err := apply(d, test.text); err != nil {
			return err
		}
		lost, bursts, err := count()
		if err != nil {
			return err
		}
		measured, mean := float64(lost)/packets, float64(lost)/float64(max(bursts, 1))
		networkRow(test.text, name, "5%", fmt.Sprintf("%.2f%%", 100*measured), "± 0.5 points", math.Abs(measured-share) <= 0.005)
		networkRow(test.text+", mean burst", name, fmt.Sprintf("%.2f", test.burst), fmt.Sprintf("%.2f", mean), "± 5%", math.Abs(mean/test.burst-1) <= 0.05)
	}
	return nil
}

const starts = 20

// programs measures gotimeout itself.
func programs(ctx context.Context, gotimeout string) error {
	fmt.Printf("gotimeout, from its start:\n\n")
	networkHeader()
	for _, flags := range [][]string{nil, {"--outside"}} {
		if err := starting(ctx, gotimeout, flags); err != nil {
			return err
		}
	}
	if err := pingInside(ctx, gotimeout); err != nil {
		return err
	}
	return serving(ctx, gotimeout)
}

// starting measures how long a command waits for its network.
func starting(ctx context.Context, gotimeout string, flags []string) error {
	var ready []time.Duration
	for range starts {
		began := time.Now()
		words := append(append([]string{"network", "run"}, flags...), "delay=50ms", "--", "date", "+%s%N")
		out, err := exec.CommandContext(ctx, gotimeout, words...).Output()
		if err != nil {
			return fmt.Errorf("network run: %w", err)
		}
		at, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
		if err != nil {
			return fmt.Errorf("date printed %q: %w", out, err)
		}
		ready = append(ready, time.Unix(0, at).Sub(began))
	}
	slices.Sort(ready)
	what, driver, bar := "`network run` until the command runs, median, max", "auto", 60*time.Millisecond
	if flags != nil {
		what, driver, bar = "`network run --outside` until the command runs, median, max", "tun", 150*time.Millisecond
	}
	p50 := stats.Percentile(ready, 50)
	networkRow(what, driver, "", millis(p50)+", "+millis(ready[starts-1]), fmt.Sprint(bar), p50 <= bar)
	return nil
}

// pingInside runs this program's pings on networks that gotimeout makes, one after the other.
func pingInside(ctx context.Context, gotimeout string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var p50s, p99s []time.Duration
	for range driverRounds {
		out, err := exec.CommandContext(ctx, gotimeout, "network", "run", "delay=50ms", "--", self, "as", "pings").Output()
		if err != nil {
			return fmt.Errorf("network run: %w", err)
		}
		var dial, p50, p99 time.Duration
		if _, err := fmt.Sscan(string(out), (*int64)(&dial), (*int64)(&p50), (*int64)(&p99)); err != nil {
			return fmt.Errorf("the pings printed %q: %w", out, err)
		}
		p50s, p99s = append(p50s, p50), append(p99s, p99)
	}
	const asked = 100 * time.Millisecond
	p50, p99 := stats.Median(p50s), stats.Median(p99s)
	networkRow(fmt.Sprintf("a TCP ping in it, p50, median of %d runs", driverRounds), "auto", millis(asked), millis(p50), "± 1 ms", (p50-asked).Abs() <= time.Millisecond)
	networkRow(fmt.Sprintf("a TCP ping in it, p99, median of %d runs", driverRounds), "auto", millis(asked), millis(p99), "± 3 ms", (p99-asked).Abs() <= 3*time.Millisecond)
	return nil
}

// serving measures how long the lab takes to start with a network.
func serving(ctx context.Context, gotimeout string) error {
	var took []time.Duration
	for range 5 {
		began := time.Now()
		lab, err := startServer(ctx, gotimeout, "serve", "--addr=127.0.0.1:0", "--network=delay=50ms")
		if err != nil {
			return err
		}
		took = append(took, time.Since(began))
		lab.stop()
	}
	worst := slices.Max(took)
	networkRow("`serve --network=delay=50ms` until it serves, median, max", "auto", "", millis(stats.Median(took))+", "+millis(worst), "1500 ms", worst <= 1500*time.Millisecond)
	return nil
}

func networkHeader() {
	fmt.Print("| what | driver | asked | measured | bar | |\n|---|---|--:|--:|--:|---|\n")
}

// networkRow prints a row. A row without a bar is only for comparison.
func networkRow(what, driver, asked, measured, bar string, met bool) {
	judged := ""
	if bar != "" {
		judged = verdict(met)
	}
	row(what, driver, asked, measured, bar, judged)
}
