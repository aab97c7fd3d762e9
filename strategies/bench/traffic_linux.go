package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"gotimeout/internal/stats"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/rs/zerolog/log"
	"github.com/vishvananda/netlink"
)

// plain is an address of the private loopback that no driver changes.
const plain = "10.99.0.1"

func addPlain() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(plain), Mask: net.CIDRMask(32, 32)}})
}

// toxic starts toxiproxy in front of a server, with the delay in each direction, as its
// users do. The caller stops it.
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

const pingSize = 64

// listen hands each connection to a free port of an address to handle, until the
// listener is closed.
func listen(host string, handle func(net.Conn)) (net.Listener, error) {
	l, err := net.Listen("tcp", host+":0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	return l, nil
}

// echo sends each ping back.
func echo(host string) (net.Listener, error) {
	return listen(host, func(conn net.Conn) {
		_, _ = io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{conn}, make([]byte, pingSize))
	})
}

// ping times one round trip.
func ping(conn net.Conn, b []byte) (time.Duration, error) {
	began := time.Now()
	if _, err := conn.Write(b); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(conn, b)
	return time.Since(began), err
}

// pings opens connections, pings each once in every period, and returns the sorted round
// trips and the times of the dials. The connections start evenly over the period: if all
// started at once, the round trips would measure the scheduling of two processors.
func pings(addr string, flows, times int, period time.Duration) (trips, dials []time.Duration, err error) {
	var (
		mu  sync.Mutex
		all sync.WaitGroup
	)
	began := time.Now()
	for i := range flows {
		all.Go(func() {
			own, dial, failed := flow(addr, times, began.Add(period*time.Duration(i)/time.Duration(flows)), period)
			mu.Lock()
			defer mu.Unlock()
			trips, dials = append(trips, own...), append(dials, dial)
			if failed != nil {
				err = failed
			}
		})
	}
	all.Wait()
	slices.Sort(trips)
	slices.Sort(dials)
	return trips, dials, err
}

// flow is one connection. Its first ping warms the connection up and doesn't count.
func flow(addr string, times int, begin time.Time, period time.Duration) (trips []time.Duration, dial time.Duration, err error) {
	time.Sleep(time.Until(begin))
	dialed := time.Now()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	dial = time.Since(dialed)
	b := make([]byte, pingSize)
	for i := range times + 1 {
		time.Sleep(time.Until(begin.Add(period * time.Duration(i+2))))
		took, err := ping(conn, b)
		if err != nil {
			return nil, 0, err
		}
		if i > 0 {
			trips = append(trips, took)
		}
	}
	return trips, dial, nil
}

// printPings pings in the network that this process was started in, and prints the
// medians of dials and round trips and the p99 of round trips, in nanoseconds.
func printPings() error {
	l, err := echo("127.0.0.1")
	if err != nil {
		return err
	}
	defer l.Close()
	trips, dials, err := pings(l.Addr().String(), 5, 40, 150*time.Millisecond)
	if err == nil {
		fmt.Println(int64(stats.Percentile(dials, 50)), int64(stats.Percentile(trips, 50)), int64(stats.Percentile(trips, 99)))
	}
	return err
}

// off returns how much the round trips differ from the wanted round trip.
func off(trips []time.Duration, asked time.Duration) (p50, p99 time.Duration) {
	var all []time.Duration
	for _, t := range trips {
		all = append(all, (t - asked).Abs())
	}
	slices.Sort(all)
	return stats.Percentile(all, 50), stats.Percentile(all, 99)
}

func pingPong(addr string, n int) (trips []time.Duration, err error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	b := make([]byte, pingSize)
	for range n {
		took, err := ping(conn, b)
		if err != nil {
			return nil, err
		}
		trips = append(trips, took)
	}
	return trips, nil
}

// source sends bytes on each connection.
func source(host string) (net.Listener, error) {
	return listen(host, func(conn net.Conn) {
		for b := make([]byte, 1<<16); ; {
			if _, err := conn.Write(b); err != nil {
				return
			}
		}
	})
}

// drain reads for some time and returns the bytes per second.
func drain(addr string, d time.Duration) (float64, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	began := time.Now()
	_ = conn.SetReadDeadline(began.Add(d))
	n := 0
	for b := make([]byte, 1<<18); ; {
		got, err := conn.Read(b)
		n += got
		if err != nil {
			break
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// count sends packets in one direction, so slowly that the receiver gets all of them. It
// counts the lost packets, and the runs of lost packets.
func count() (lost, bursts int, err error) {
	to, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, 0, err
	}
	defer to.Close()
	_ = to.SetReadBuffer(4 << 20)
	from, err := net.DialUDP("udp4", nil, to.LocalAddr().(*net.UDPAddr))
	if err != nil {
		return 0, 0, err
	}
	defer from.Close()
	go func() {
		const batch = 40
		b := make([]byte, 16)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for i := range packets {
			if i%batch == 0 {
				<-tick.C
			}
			binary.BigEndian.PutUint64(b, uint64(i))
			_, _ = from.Write(b) // the driver loses this packet too
		}
		_ = to.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	}()
	next, b := 0, make([]byte, 16)
	miss := func(upTo int) {
		if upTo > next {
			lost += upTo - next
			bursts++
		}
		next = upTo + 1
	}
	for {
		if _, err := to.Read(b); err != nil {
			break // the deadline
		}
		miss(int(binary.BigEndian.Uint64(b)))
	}
	miss(packets)
	return lost, bursts, nil
}
