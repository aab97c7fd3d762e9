package timewait

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"gotimeout/internal/sockets"
)

// patience bounds the wait for a state that comes at once on an idle machine.
const patience = 10 * time.Second

// until looks until it sees what is waited for, or the bound has passed: that
// is no error, what there is by then will be told.
func until(ctx context.Context, bound time.Duration, look func() (bool, error)) error {
	end := time.Now().Add(bound)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		if done, err := look(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(pause, time.Until(end))):
		}
		if !time.Now().Before(end) {
			return nil
		}
	}
}

// server accepts connections and hands each to a function. Its port was no other
// socket's before, so that whatever the kernel has on it is this server's.
type server struct {
	listener net.Listener
	addr     string
	port     uint16
	handlers sync.WaitGroup
}

// serve starts a server on an address, whose connections are closed when handle
// returns. c may be nil.
func serve(ctx context.Context, ip string, c control, handle func(*net.TCPConn)) (*server, error) {
	l, err := listen(ctx, ip, c)
	if err != nil {
		return nil, err
	}
	s := &server{listener: l, addr: l.Addr().String(), port: uint16(l.Addr().(*net.TCPAddr).Port)}
	s.handlers.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.handlers.Go(func() {
				defer conn.Close()
				handle(conn.(*net.TCPConn))
			})
		}
	})
	return s, nil
}

// close stops the server and waits for what it does for its connections.
func (s *server) close() {
	s.listener.Close()
	s.handlers.Wait()
}

// errBlind is what a kernel without sock_diag comes to.
var errBlind = errors.New("this kernel doesn't show its sockets (CONFIG_INET_DIAG): load it with sudo modprobe tcp_diag, or run it on another one")

// listen listens on a port that is new to the kernel: a connection of an
// earlier experiment may still be in TIME-WAIT on another.
func listen(ctx context.Context, ip string, c control) (net.Listener, error) {
	config := net.ListenConfig{Control: c}
	for range 100 {
		l, err := config.Listen(ctx, "tcp4", net.JoinHostPort(ip, "0"))
		if err != nil {
			return nil, err
		}
		port, all, listening := uint16(l.Addr().(*net.TCPAddr).Port), 0, false
		err = sockets.Each(sockets.All, func(s sockets.Socket) {
			if s.Local.Port() == port || s.Remote.Port() == port {
				all++
				listening = listening || s.State == sockets.Listen
			}
		})
		switch {
		case err == nil && listening && all == 1:
			return l, nil
		case err == nil && !listening:
			err = errBlind
		}
		l.Close()
		if err != nil {
			return nil, err
		}
	}
	return nil, errors.New("no port is free of earlier connections")
}

// command is what a person would type to see the sockets of a port.
func command(port uint16) string {
	return fmt.Sprintf("ss -tan '( sport = :%d or dport = :%[1]d )'", port)
}

// plural is "1 connection" or "2 connections".
func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

func number(n int) *int { return &n }

func addrPort(a net.Addr) uint16 { return uint16(a.(*net.TCPAddr).Port) }
