//go:build linux

package sockets_test

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"gotimeout/internal/badnet/private"
	"gotimeout/internal/sockets"
)

// inPrivate tells that there are no sockets but the tests'.
var inPrivate bool

func TestMain(m *testing.M) {
	if !private.Inside() {
		if status, err := private.Run(private.Outside{}); err == nil {
			os.Exit(status)
		}
		os.Exit(m.Run()) // nothing private is to be had here
	}
	if _, err := private.Enter(false); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	inPrivate = true
	os.Exit(m.Run())
}

// The bar is 20 ms for all of 20,000 sockets in TIME-WAIT.
func BenchmarkEach(b *testing.B) {
	if !inPrivate {
		b.Skip("20,000 sockets in TIME-WAIT are for a private network")
	}
	if err := private.Sysctl("ipv4/tcp_tw_reuse", "0"); err != nil {
		b.Fatal(err)
	}
	leave(b, 20_000-count(b))
	b.ResetTimer()
	longest := time.Duration(0)
	for b.Loop() {
		began := time.Now()
		count(b)
		longest = max(longest, time.Since(began))
	}
	b.ReportMetric(float64(longest)/1e6, "longest-ms")
	b.ReportMetric(float64(count(b)), "TIME-WAIT")
}

func count(b *testing.B) (n int) {
	b.Helper()
	if err := sockets.Each(sockets.All, func(s sockets.Socket) {
		if s.State == sockets.TimeWait {
			n++
		}
	}); err != nil {
		b.Fatal(err)
	}
	return n
}

// leave makes n connections that this end closes first.
func leave(b *testing.B, n int) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1))
			conn.Close()
		}
	}()
	for range n {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		conn.Close()
	}
	time.Sleep(100 * time.Millisecond) // the last of them are on their way
}
