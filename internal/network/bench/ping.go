//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

const pingSize = 64

// echo answers pings on a free port of an address until it is closed.
func echo(host string) (net.Listener, error) {
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
				_, _ = io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{conn}, make([]byte, pingSize))
			}()
		}
	}()
	return l, nil
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

// pings runs so many connections, each of which pings once in a period for so
// many times, and returns the round trips, sorted, and the dials. The flows
// begin evenly over the period: woken all at once, they would measure how two
// processors take turns.
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

// flow is one of the connections. Its first ping tells of slow beginnings and
// doesn't count.
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

// pingHere pings in the network that this process was started in.
func pingHere() error {
	l, err := echo("127.0.0.1")
	if err != nil {
		return err
	}
	defer l.Close()
	trips, dials, err := pings(l.Addr().String(), 5, 40, 150*time.Millisecond)
	if err == nil {
		fmt.Println(int64(quantile(dials, 0.5)), int64(quantile(trips, 0.5)), int64(quantile(trips, 0.99)))
	}
	return err
}

// errors are by how much round trips are off.
func off(trips []time.Duration, asked time.Duration) (p50, p99 time.Duration) {
	var all []time.Duration
	for _, t := range trips {
		all = append(all, (t - asked).Abs())
	}
	slices.Sort(all)
	return quantile(all, 0.5), quantile(all, 0.99)
}
