package tun_test

import (
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/tun"
)

func TestProto(t *testing.T) {
	d, err := tun.Open(1)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(c, c)
		}
	}()
	for _, text := range []string{"none", "delay=10ms", "delay=50ms", "delay=200ms"} {
		p, _ := badnet.Parse(text)
		if err := d.Apply(badnet.Plan{All: p}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		dial := time.Since(began)
		n := 200
		if p.Up.Delay > 20*time.Millisecond {
			n = 20
		}
		var rtts []time.Duration
		buf := make([]byte, 64)
		for range n {
			began = time.Now()
			c.Write(buf)
			io.ReadFull(c, buf)
			rtts = append(rtts, time.Since(began))
		}
		slices.Sort(rtts)
		fmt.Println(text, "dial", dial, "p50", rtts[n/2], "p99", rtts[n*99/100], "max", rtts[n-1])
		if text == "none" {
			big := make([]byte, 1<<20)
			go func() {
				for range 1000 {
					c.Write(big)
				}
			}()
			began = time.Now()
			io.CopyN(io.Discard, c, 1000<<20)
			fmt.Println("GB/s echo", float64(1000<<20)/1e9/time.Since(began).Seconds())
		}
		c.Close()
	}
}
