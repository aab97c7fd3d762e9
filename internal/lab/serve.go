package lab

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// grace is how long requests in flight may take to finish after a signal: somewhat longer
// than the default cap of the delay.
const grace = 12 * time.Second

// Serve gives the network its profile, and serves until ctx is done. Then it waits for the
// requests in flight. It closes the listener.
func (l *Lab) Serve(ctx context.Context, listener net.Listener) error {
	defer listener.Close()
	if l.network != nil {
		if err := l.beginNetwork(ctx); ctx.Err() != nil {
			l.Log.Info("stopped before it served")
			return nil
		} else if err != nil {
			return err
		}
		l.Network = l.network
	}
	serving, stop := context.WithCancel(ctx)
	beside := l.measureOwn(serving)
	beside.Go(func() { giveMemoryBack(serving) })
	defer beside.Wait()
	defer stop()
	l.Log.Info("serving", "url", "http://"+address(listener.Addr()), "addr", listener.Addr(), "public", l.Public)
	// net/http cancels a request's context when ReadTimeout passes, and drops the
	// answer when WriteTimeout does.
	longest := l.Bounds().Write
	server := &http.Server{
		Handler:           l.Routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       longest,
		WriteTimeout:      longest,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(l.Log.Handler(), slog.LevelWarn),
	}
	l.CountConnections(server)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving stopped: %w", err)
	case <-ctx.Done():
	}
	l.Log.Info("stopping: a second signal doesn't wait", "in_flight", l.Ledger.Counts().InFlight, "grace", grace)
	within, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := server.Shutdown(within); err != nil {
		_ = server.Close()
		l.Log.Warn("requests cut after the grace period", "in_flight", l.Ledger.Counts().InFlight)
	}
	l.Log.Info("stopped")
	return nil
}

// beginNetwork gives the network its profile, and logs the calibration.
func (l *Lab) beginNetwork(ctx context.Context) error {
	n, profile := l.network, l.settings.Profile
	if err := n.Set(ctx, "", profile); err != nil {
		return fmt.Errorf("the network can't be made: %w (this driver, because %s)", err, n.State().Why)
	}
	state := n.State()
	attrs := []any{"driver", state.Driver, "why", state.Why, "profile", state.Profile, "round_trip_ms", *state.RoundTrip}
	if c := state.Calibration; c.RoundTripP50 != nil {
		attrs = append(attrs, "measured_ms", *c.RoundTripP50)
	}
	l.Log.Info("network", attrs...)
	return nil
}

// address returns the address for a browser: localhost for a listener on all interfaces.
func address(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("localhost:%d", tcp.Port)
	}
	return a.String()
}
