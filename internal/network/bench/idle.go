//go:build linux

package main

import (
	"fmt"
	"net"
	"slices"
	"time"
)

// idle compares networks that are not bad at all, a round of each in turn.
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
	more := quantile(trips[0], 0.5) - quantile(trips[1], 0.5)
	row("round trip, p50", "none", "", micros(quantile(trips[1], 0.5)), "", true)
	row("round trip, p50", name, "", micros(quantile(trips[0], 0.5)), "40 µs over none's", more <= 40*time.Microsecond)
	return streams(name)
}

func micros(d time.Duration) string { return fmt.Sprintf("%.1f µs", float64(d)/1e3) }

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

// streams compares what one connection gets through.
func streams(name string) error {
	bad, err := source("127.0.0.1")
	if err != nil {
		return err
	}
	defer bad.Close()
	good, err := source(plain)
	if err != nil {
		return err
	}
	defer good.Close()
	proxy, err := toxic(good.Addr().String(), 0)
	if err != nil {
		return err
	}
	defer proxy.Stop()
	var rates [3][]float64
	for range 7 {
		for i, addr := range []string{bad.Addr().String(), good.Addr().String(), proxy.Listen} {
			rate, err := drain(addr, 400*time.Millisecond)
			if err != nil {
				return err
			}
			rates[i] = append(rates[i], rate)
		}
	}
	text := func(i int) string { return fmt.Sprintf("%.2f GB/s", median(rates[i])/1e9) }
	row("one TCP stream", "none", "", text(1), "", true)
	row("one TCP stream", "toxiproxy", "", text(2), "", true)
	row("one TCP stream", name, "", text(0), "toxiproxy's", median(rates[0]) >= median(rates[2]))
	return nil
}

// source sends to whoever connects.
func source(host string) (net.Listener, error) {
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
				for b := make([]byte, 1<<16); ; {
					if _, err := conn.Write(b); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l, nil
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
