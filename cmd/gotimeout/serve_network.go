package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/live"
	"gotimeout/internal/badnet/private"
)

// seed is the one of the losses and delays of every lab, so that a run can be
// repeated.
const seed = 1

// listen listens. The process in a private network is handed the listener of the
// one outside, and gets nil here.
func listen(addr string) (*net.TCPListener, error) {
	if private.Inside() {
		return nil, nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s (%w): choose another one with --addr, or PORT", addr, reason(err))
	}
	return l.(*net.TCPListener), nil
}

// onNetwork calls serve with the network that was asked for, nil where none was.
// For a private one it runs the program again inside of it; where that can't be
// had and nothing else was asked for, proxies take its place.
func onNetwork(ctx context.Context, s settings, listener *net.TCPListener, log *slog.Logger,
	serve func(context.Context, net.Listener, *live.Network, *private.Process) error) error {
	proxies := func(why string) error {
		n, err := live.Proxies(why)
		if err != nil {
			return err
		}
		return serve(ctx, listener, n, nil)
	}
	switch {
	case !s.network:
		return serve(ctx, listener, nil, nil)
	case s.driver == badnet.Proxy:
		return proxies("it was asked for")
	}
	status, err := private.Work{
		Outside: private.Outside{Listener: listener, Servers: s.servers()},
		Inside: func(ctx context.Context, p *private.Process) (int, error) {
			n, err := live.Private(p, s.driver, s.profile, seed)
			if err != nil {
				return 0, private.Refused(err)
			}
			if err := p.Ready(); err != nil {
				return 0, err
			}
			return 0, serve(ctx, p.Listener, n, p)
		},
		Refused: func(reason *private.RefusedError) (int, error) {
			if s.driver != badnet.Auto {
				return 0, fmt.Errorf("there is no network by --network-driver %s here: %w", s.driver, reason)
			}
			log.Warn("no private network, and so proxies", "reason", reason)
			return 0, proxies("no private network can be had here: " + reason.Error())
		},
	}.Do(ctx)
	switch {
	case err != nil || status == 0:
		return err
	case status > 128:
		log.Error("the process in the private network was killed", "signal", status-128)
	}
	return exitStatus(status)
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
