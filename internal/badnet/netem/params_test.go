package netem

import (
	"errors"
	"math"
	"testing"

	"gotimeout/internal/badnet"
)

func TestTC(t *testing.T) {
	for profile, want := range map[string]string{
		"none":                               "netem limit 1000000",
		"delay=1500us":                       "netem limit 1000000 delay 1500us",
		"delay=2s":                           "netem limit 1000000 delay 2s",
		"delay=1ms jitter=100ns":             "netem limit 1000000 delay 1ms 100ns rate 1000tbit",
		"delay=9ms jitter=1ms,pareto":        "netem limit 1000000 delay 9ms 1ms distribution pareto rate 1000tbit",
		"loss=0.1%":                          "netem limit 1000000 loss 0.1%",
		"loss=5%,burst=2":                    "netem limit 1000000 loss gemodel 2.631578947% 50%",
		"loss=5%,correlation=25% corrupt=1%": "netem limit 1000000 loss 5% 25% corrupt 1%",
		"rate=1500kbit limit=9":              "netem limit 9 rate 1500kbit -14",
		"rate=12mbit delay=1s":               "netem limit 2000 delay 1s rate 12mbit -14",
		"delay=1ms reorder=3%":               "netem limit 1000000 delay 1ms reorder 3%",
		"duplicate=100%":                     "netem limit 1000000 duplicate 100%",
		"duplicate=20% loss=10%":             "netem limit 1000000 loss 13.13264847% duplicate 23.85389723%",
		"loss=100% duplicate=5%":             "netem limit 1000000 loss 100%",
		"delay=10ms jitter=1ms rate=1600bit": "netem limit 1001 delay 10ms 1ms rate 1600bit -14",
	} {
		p, err := paramsOf(asked(t, profile), 14)
		if got := p.tc(); err != nil || got != want {
			t.Errorf("%s: %s, %v\nwant %s", profile, got, err, want)
		}
	}
}

// The words of tc that a preset is printed as are read as the preset. A limit is not: tc's
// counts the packets in the delay too.
func TestTCIsReadAsThePreset(t *testing.T) {
	for _, preset := range badnet.Presets() {
		if preset.Profile.Down.Outage > 0 {
			continue // netem has none
		}
		text, err := TC(preset.Profile.Down)
		if err != nil {
			t.Fatal(err)
		}
		got, err := badnet.Parse(text)
		want := preset.Profile.Down
		got.Down.Limit, want.Limit = 0, 0
		if err != nil || got.Down != want {
			t.Errorf("%s: %s is read as %s, %v", preset.Name, text, got, err)
		}
	}
}

func TestNetemRefuses(t *testing.T) {
	for profile, want := range map[string]string{
		"rate=1mbit queue=codel": "netem has no queue but droptail, and queue=codel is asked for: leave queue out, or use the tun driver",
		"outage=1s,every=10s":    "netem has no outages, and outage=1s,every=10s is asked for: leave outage out, or use the tun driver",
	} {
		if _, err := paramsOf(asked(t, profile), 14); !errors.Is(err, badnet.ErrCannot) || err.Error() != want {
			t.Errorf("%s: %v", profile, err)
		}
	}
}

func TestNetemRefusesATrace(t *testing.T) {
	_, err := paramsOf(badnet.Link{Trace: badnet.Trace{File: "lte.down"}}, 14)
	if !errors.Is(err, badnet.ErrCannot) || err.Error() != "netem has one rate, and trace=lte.down is asked for: leave trace out, or use the tun driver" {
		t.Error(err)
	}
}

// Computed by netem's own rules, as many packets are lost and duplicated as asked for.
func TestLossBesideCopies(t *testing.T) {
	for _, l := range []badnet.Link{{Loss: 0.01, Duplicate: 0.01}, {Loss: 0.1, Duplicate: 0.2}, {Loss: 0.001, Duplicate: 0.9}, {Loss: 0.3, Duplicate: 0.05}} {
		p, err := paramsOf(l, 0)
		if err != nil {
			t.Errorf("%+v: %v", l, err)
		}
		none := (1 - p.duplicate) * p.loss
		two := p.duplicate * (1 - p.loss) * (1 - p.loss)
		if math.Abs(none-l.Loss) > 1e-9 || math.Abs(two-(1-l.Loss)*l.Duplicate) > 1e-9 {
			t.Errorf("%+v: %v lost, %v duplicated", l, none, two)
		}
	}
}

func TestTables(t *testing.T) {
	for d, want := range map[badnet.Distribution]struct{ deviation, most float64 }{
		badnet.Uniform: {1 / math.Sqrt(3), 1}, badnet.Normal: {1, 4}, badnet.Pareto: {1, 4},
	} {
		var sum, squares, most float64
		entries := table(d)
		for i, e := range entries {
			v := float64(e) / tableScale
			sum += v
			squares += v * v
			most = max(most, math.Abs(v))
			if i > 0 && e < entries[i-1] {
				t.Fatalf("%s: entry %d is below the one before", d, i)
			}
		}
		n := float64(len(entries))
		mean := sum / n
		deviation := math.Sqrt(squares/n - mean*mean)
		if math.Abs(mean) > 0.001 || math.Abs(deviation-want.deviation) > 0.002 || most > want.most {
			t.Errorf("%s: mean %v, deviation %v, most %v", d, mean, deviation, most)
		}
	}
}

// The options of a Link are read back as the same Link.
func TestLinkIsTheInverse(t *testing.T) {
	for _, preset := range badnet.Presets() {
		for _, want := range []badnet.Link{preset.Profile.Up, preset.Profile.Down} {
			p, err := paramsOf(want, 14)
			if want.Outage > 0 {
				continue // netem has none
			}
			if got := p.link(); err != nil || got != want {
				t.Errorf("%s: %+v, %v, want %+v", preset.Name, got, err, want)
			}
		}
	}
}

func asked(t *testing.T, profile string) badnet.Link {
	t.Helper()
	p, err := badnet.Parse(profile)
	if err != nil {
		t.Fatal(err)
	}
	return p.Up
}
