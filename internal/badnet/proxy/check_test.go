package proxy_test

import (
	"errors"
	"testing"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/proxy"
)

func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		"none":                                 "",
		"delay=1m jitter=1m":                   "",
		"delay=100ms jitter=20ms rate=1mbit":   "",
		"rate=8kbit":                           "",
		"rate=1500kbit":                        "", // 0.3% off
		"rate=408300bit":                       "", // 2% off
		"rate=1000gbit":                        "",
		"limit=1000":                           "", // as if it weren't there
		"delay=1ms up.delay=2ms up.rate=8mbit": "",

		"loss=5%":             "the proxy driver can't lose packets (loss=5%), since a proxy sees none: use netem or tun, or leave loss out",
		"blackhole":           "the proxy driver can't lose packets (loss=100%), since a proxy sees none: use netem or tun, or leave loss out",
		"up.loss=5%":          "the proxy driver can't lose packets (up.loss=5%), since a proxy sees none: use netem or tun, or leave up.loss out",
		"loss=5%,burst=3":     "the proxy driver can't lose packets (loss=5%,burst=3), since a proxy sees none: use netem or tun, or leave loss out",
		"down.limit=50":       "the proxy driver can't count packets (down.limit=50), since a proxy sees none: use netem or tun, or leave down.limit out",
		"duplicate=0.1%":      "the proxy driver can't duplicate packets (duplicate=0.1%), since a proxy sees none: use netem or tun, or leave duplicate out",
		"delay=1s reorder=1%": "the proxy driver can't reorder packets (reorder=1%), since a proxy sees none: use netem or tun, or leave reorder out",

		"delay=1s jitter=9ms,normal":    "the proxy driver has no jitter but a uniform one (jitter=9ms,normal): use netem or tun, or write jitter=9ms",
		"delay=1s up.jitter=9ms,pareto": "the proxy driver has no jitter but a uniform one (up.jitter=9ms,pareto): use netem or tun, or write up.jitter=9ms",
		"delay=1500us":                  "the proxy driver can't split a millisecond (delay=1.5ms): use netem or tun, or write delay=2ms",
		"delay=1s down.jitter=1ns":      "the proxy driver can't split a millisecond (down.jitter=1ns): use netem or tun, or write down.jitter=1ms",
		"rate=1kbit":                    "the proxy driver can't hold rate=1kbit, since its rates are multiples of 8kbit: use netem or tun, or write rate=8kbit",
		"up.rate=20kbit":                "the proxy driver can't hold up.rate=20kbit, since its rates are multiples of 8kbit: use netem or tun, or write up.rate=24kbit",
	} {
		err := proxy.Check(profile(t, text))
		if err == nil && want == "" {
			continue
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", text, err, want)
		} else if !errors.Is(err, badnet.ErrCannot) {
			t.Errorf("%s: no ErrCannot", text)
		}
	}
}

// Of the presets a proxy does those that lose nothing.
func TestCheckPresets(t *testing.T) {
	for _, p := range badnet.Presets() {
		loses := p.Profile.Up.Loss > 0
		if err := proxy.Check(p.Profile); (err != nil) != loses {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

func TestCheckAtTheBounds(t *testing.T) {
	for _, rate := range []int64{7_844, 8_163, 204_000, 1e12} {
		l := badnet.Link{Rate: rate}
		if err := proxy.Check(badnet.Profile{Up: l, Down: l}); err != nil {
			t.Error(err)
		}
	}
	for _, rate := range []int64{1e3, 7_843, 8_164, 12_000, 196_001} {
		l := badnet.Link{Rate: rate}
		if err := proxy.Check(badnet.Profile{Up: l, Down: l}); err == nil {
			t.Errorf("%d bit/s is accepted", rate)
		}
	}
	l := badnet.Link{Delay: time.Minute - 1}
	if err := proxy.Check(badnet.Profile{Down: l}); err == nil {
		t.Error("a nanosecond is accepted")
	}
}
