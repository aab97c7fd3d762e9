package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/live"
	"gotimeout/internal/badnet/private"
)

// seed is the one of the losses and delays of every lab, so that a run can be
// repeated.
const seed = 1

// listen listens, or inside of a private network takes the listener that the
// process outside hands in. Then that process is not nil.
func listen(addr string) (net.Listener, *private.Process, error) {
	if !private.Inside() {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			err = fmt.Errorf("cannot listen on %s (%w): choose another one with --addr, or PORT", addr, reason(err))
		}
		return l, nil, err
	}
	process, err := private.Enter(false)
	if err != nil {
		return nil, nil, exitStatus(exitFailure) // the outside tells
	}
	defer process.Files[0].Close()
	l, err := net.FileListener(process.Files[0])
	return l, process, err
}

// openNetwork opens the network that was asked for, nil where none was. Outside
// of a private one it runs the whole program inside, and returns its exit status
// as the error; where that can't be had and nothing else was asked for, proxies
// take its place.
func openNetwork(s settings, listener net.Listener, process *private.Process, log *slog.Logger) (*live.Network, error) {
	switch {
	case !s.network:
		return nil, nil
	case s.driver == badnet.Proxy:
		return live.Proxies("it was asked for")
	case process != nil:
		n, err := live.Private(process, s.driver, s.profile, seed)
		if err != nil {
			return nil, errors.Join(process.Refuse(err.Error()), exitStatus(exitFailure))
		}
		return n, process.Ready()
	}
	status, err := inside(s, listener)
	var refused *private.RefusedError
	switch {
	case err == nil && status > 128:
		log.Error("the process in the private network was killed", "signal", status-128)
		return nil, exitStatus(status)
	case err == nil:
		return nil, exitStatus(status)
	case !errors.As(err, &refused):
		return nil, err
	case s.driver != badnet.Auto:
		return nil, fmt.Errorf("there is no network by --network-driver %s here: %w", s.driver, err)
	}
	log.Warn("no private network, and so proxies", "reason", err)
	return live.Proxies("no private network can be had here: " + err.Error())
}

// inside runs this program in a private network. The listener is that one's
// alone when it serves; where it can't be had, it is still this one's.
func inside(s settings, listener net.Listener) (status int, err error) {
	tcp := listener.(*net.TCPListener)
	file, err := tcp.File()
	if err != nil {
		return 0, err
	}
	defer file.Close()
	status, err = private.Run(private.Outside{
		Files: []*os.File{file}, Servers: s.servers(),
		Ready: func() { file.Close(); tcp.Close() },
	})
	if err != nil {
		return 0, errors.Join(err, nonblocking(file))
	}
	return status, nil
}

// nonblocking undoes what handing a file to a process does to it and to whoever
// shares it: an Accept that blocks couldn't be ended (https://go.dev/issue/24942).
// A listener that is made of it makes it non-blocking again.
func nonblocking(file *os.File) error {
	l, err := net.FileListener(file)
	if err != nil {
		return err
	}
	return l.Close()
}

// signalled returns a context that is done when the outside is sent a signal. A
// second one ends this process at once, as it would without a network.
func signalled(ctx context.Context, process *private.Process) context.Context {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		<-process.Signals
		cancel()
		os.Exit(128 + int(<-process.Signals))
	}()
	return ctx
}

// servers are the real ones and the collector, which the inside is to reach.
func (s settings) servers() (all []private.Server) {
	if s.httpURL != nil {
		all = append(all, private.Server{Network: "tcp", Addr: hostPort(s.httpURL)})
	}
	if s.cacheAddr != "" {
		all = append(all, private.Server{Network: "tcp", Addr: s.cacheAddr})
	}
	if s.db != nil {
		all = append(all, private.Server{Network: s.db.Net, Addr: s.db.Addr})
	}
	if s.collector != nil {
		all = append(all, private.Server{Network: "tcp", Addr: s.collector.Addr})
	}
	return all
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = u.Scheme // by name
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// begin makes the network as bad as asked, and says how bad that is.
func begin(ctx context.Context, n *live.Network, s settings, log *slog.Logger) error {
	err := n.Set(ctx, "", s.profile)
	if err != nil && ctx.Err() == nil { // a machine may stand still for the second that is measured
		err = n.Set(ctx, "", s.profile)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("the network can't be made: %w (this driver, because %s)", err, n.State().Why)
	}
	state := n.State()
	attrs := []any{"driver", state.Driver, "why", state.Why, "profile", state.Profile, "round_trip_ms", *state.RoundTrip}
	if c := state.Calibration; c.RoundTripP50 != nil {
		attrs = append(attrs, "measured_ms", *c.RoundTripP50)
	}
	log.Info("network", attrs...)
	return nil
}
