package network

import (
	"context"
	"errors"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/proxy"
)

// CheckProxy measures a profile by way of proxies. What a proxy can't do is an
// error that is badnet.ErrCannot.
func CheckProxy(ctx context.Context, p badnet.Profile, why string) (check *Check, err error) {
	if err := proxy.Check(p); err != nil {
		return nil, err
	}
	m, err := newProxies()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	if err := m.apply(p, nil); err != nil {
		return nil, err
	}
	measured, err := m.measure(ctx, p)
	if err != nil {
		return nil, err
	}
	return &Check{badnet.Proxy, why, p, judge(p, measured)}, nil
}

func (m *proxies) measure(ctx context.Context, p badnet.Profile) (got measurement, err error) {
	got.proxied = true
	s := scheduleOf(p)
	got.dials = dials(ctx, m.addr, s)
	if got.trips, err = trips(ctx, "tcp", m.addr, s); err != nil {
		return got, err
	}
	for _, d := range []struct {
		name string
		link badnet.Link
		rate *blast
		up   bool
	}{{"check up", p.Up, &got.up.rate, true}, {"check down", p.Down, &got.down.rate, false}} {
		window := 300 * time.Millisecond
		if d.link.Rate > 0 { // which comes in lumps of a tenth of a second
			window = time.Second
		}
		*d.rate, err = transfer{
			up: d.up, patience: 3*time.Second + p.RoundTrip(), window: window,
			front: func(addr string) (string, error) {
				front, err := m.fronts.Attach(d.name, addr)
				return front, errors.Join(err, m.apply(p, map[string]badnet.Profile{d.name: p}))
			},
		}.measure(ctx)
		if err != nil {
			return got, err
		}
	}
	if ctx.Err() != nil {
		return got, errInterrupted
	}
	return got, nil
}
