package badnet_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/badnet"

	"go.uber.org/goleak"
)

func TestParse(t *testing.T) {
	all := badnet.Link{
		Delay: 100 * ms, Jitter: 20 * ms, Distribution: badnet.Normal, Loss: 0.01, Burst: 3,
		Rate: 1e6, Reorder: 0.01, Duplicate: 0.001, Limit: 100,
	}
	slow := badnet.Link{Delay: 100 * ms}
	for text, want := range map[string]struct {
		profile badnet.Profile
		text    string
	}{
		"delay=100ms jitter=20ms,normal loss=1%,burst=3 rate=1mbit reorder=1% duplicate=0.1% limit=100": {
			badnet.Profile{Up: all, Down: all},
			"delay=100ms jitter=20ms,normal loss=1%,burst=3 rate=1mbit reorder=1% duplicate=0.1% limit=100",
		},
		"  rate=1000kbit\tdelay=0.1s  ": {
			badnet.Profile{Up: badnet.Link{Delay: 100 * ms, Rate: 1e6}, Down: badnet.Link{Delay: 100 * ms, Rate: 1e6}},
			"delay=100ms rate=1mbit",
		},
		"loss=5%,correlation=25% corrupt=0.1%": {
			badnet.Profile{Up: badnet.Link{Loss: 0.05, Correlation: 0.25, Corrupt: 0.001}, Down: badnet.Link{Loss: 0.05, Correlation: 0.25, Corrupt: 0.001}},
			"loss=5%,correlation=25% corrupt=0.1%",
		},
		"outage=1s,every=10s,fixed up.outage=500ms,every=1m,exponential": {
			badnet.Profile{
				Up:   badnet.Link{Outage: 500 * ms, Every: time.Minute, Exponential: true},
				Down: badnet.Link{Outage: time.Second, Every: 10 * time.Second},
			},
			"up.outage=500ms,every=1m0s,exponential down.outage=1s,every=10s",
		},
		"outage=0s":                       {badnet.Profile{}, "none"},
		"outage=0s,every=10s,exponential": {badnet.Profile{}, "none"},
		"rate=1mbit queue=droptail up.queue=codel limit=9": {
			badnet.Profile{Up: badnet.Link{Rate: 1e6, Limit: 9, Queue: badnet.CoDel}, Down: badnet.Link{Rate: 1e6, Limit: 9}},
			"rate=1mbit limit=9 up.queue=codel",
		},
		"loss=5%,correlation=0%":                           {badnet.Profile{Up: badnet.Link{Loss: 0.05}, Down: badnet.Link{Loss: 0.05}}, "loss=5%"},
		"up.delay=100ms":                                   {badnet.Profile{Up: slow}, "up.delay=100ms"},
		"down.delay=100ms":                                 {badnet.Profile{Down: slow}, "down.delay=100ms"},
		"up.delay=0s delay=100ms":                          {badnet.Profile{Down: slow}, "down.delay=100ms"},
		"delay=100ms jitter=0s,normal":                     {badnet.Profile{Up: slow, Down: slow}, "delay=100ms"},
		"delay=100ms jitter=0s,uniform":                    {badnet.Profile{Up: slow, Down: slow}, "delay=100ms"},
		"delay=100ms limit=1000 loss=0%,burst=1 rate=none": {badnet.Profile{Up: slow, Down: slow}, "delay=100ms"},
		"none":             {badnet.Profile{}, "none"},
		"none delay=0ms":   {badnet.Profile{}, "none"},
		"none delay=100ms": {badnet.Profile{Up: slow, Down: slow}, "delay=100ms"},
		"satellite":        {badnet.Profile{Up: badnet.Link{Delay: 279 * ms}, Down: badnet.Link{Delay: 279 * ms}}, "delay=279ms"},
		"3g loss=2% rate=none": {
			badnet.Profile{Up: badnet.Link{Delay: 150 * ms, Loss: 0.02}, Down: badnet.Link{Delay: 150 * ms, Loss: 0.02}},
			"delay=150ms loss=2%",
		},
		"3g": {
			badnet.Profile{Up: badnet.Link{Delay: 150 * ms, Rate: 768e3}, Down: badnet.Link{Delay: 150 * ms, Rate: 1600e3}},
			"delay=150ms up.rate=768kbit down.rate=1600kbit",
		},
		"up.loss=7% down.loss=0.0001% up.rate=1500bit": {
			badnet.Profile{Up: badnet.Link{Loss: 0.07, Rate: 1500}, Down: badnet.Link{Loss: 1e-6}},
			"up.loss=7% down.loss=0.0001% up.rate=1500bit",
		},
		"delay=9ms jitter=2ms,normal loss=1%,burst=3 up.jitter=2ms up.loss=1%": {
			badnet.Profile{
				Up:   badnet.Link{Delay: 9 * ms, Jitter: 2 * ms, Loss: 0.01},
				Down: badnet.Link{Delay: 9 * ms, Jitter: 2 * ms, Distribution: badnet.Normal, Loss: 0.01, Burst: 3},
			},
			"delay=9ms up.jitter=2ms down.jitter=2ms,normal up.loss=1% down.loss=1%,burst=3",
		},
		"loss=100% rate=1.5GBit": {
			badnet.Profile{Up: badnet.Link{Loss: 1, Rate: 15e8}, Down: badnet.Link{Loss: 1, Rate: 15e8}},
			"loss=100% rate=1500mbit",
		},
		"delay=1m jitter=1m,pareto loss=50%,burst=2.5": {
			badnet.Profile{
				Up:   badnet.Link{Delay: time.Minute, Jitter: time.Minute, Distribution: badnet.Pareto, Loss: 0.5, Burst: 2.5},
				Down: badnet.Link{Delay: time.Minute, Jitter: time.Minute, Distribution: badnet.Pareto, Loss: 0.5, Burst: 2.5},
			},
			"delay=1m0s jitter=1m0s,pareto loss=50%,burst=2.5",
		},
	} {
		got, err := badnet.Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got != want.profile {
			t.Errorf("%q: got %+v, want %+v", text, got, want.profile)
		}
		check(t, text, got.String(), want.text)
	}
}

// The words of tc are read as the keys that they stand for.
func TestParseTC(t *testing.T) {
	for text, want := range map[string]string{
		"delay 100ms 20ms distribution normal loss 5% 25% rate 1mbit limit 100": "delay=100ms jitter=20ms,normal loss=5%,correlation=25% rate=1mbit limit=100",
		"corrupt 1% 0%":                          "corrupt=1%",
		"netem limit 1000000 delay 100":          "delay=100us",
		"latency 1.5sec 20msecs 0%":              "delay=1.5s jitter=20ms",
		"loss random 5":                          "loss=5%",
		"drop 0.1%":                              "loss=0.1%",
		"loss gemodel 2.631578947% 50%":          "loss=5%,burst=2",
		"loss gemodel 1% 30% 100% 0%":            "loss=3.225806%,burst=3.333",
		"loss gemodel 5%":                        "loss=5%,burst=1.053",
		"loss gemodel 0% 5%":                     "none",
		"delay 10ms reorder 25% 0% duplicate 1%": "delay=10ms reorder=25% duplicate=1%",
		"rate 1MBps":                             "rate=8mbit",
		"rate 8kibit -14":                        "rate=8192bit",
		"rate 64000 0":                           "rate=64kbit",
		"3g loss 2% down.rate=2mbit":             "delay=150ms loss=2% up.rate=768kbit down.rate=2mbit",
		"delay 5ms jitter=1ms":                   "delay=5ms jitter=1ms",
	} {
		got, err := badnet.Parse(text)
		keys, keysErr := badnet.Parse(want)
		if err != nil || keysErr != nil || got != keys {
			t.Errorf("%q: got %s, %v, want %s, %v", text, got, err, keys, keysErr)
		}
	}
}

func TestParseRefusesTC(t *testing.T) {
	const gemodel = "loss gemodel 1% 30%"
	for text, want := range map[string]string{
		"dealy 100ms":                      `there is no preset or word of tc "dealy", did you mean delay?`,
		"delay 100ms los 5%":               `there is no word of tc "los", did you mean loss? (or write keys, as in delay=100ms)`,
		"delay":                            "delay: a value is missing; write a delay and a jitter, as in delay 100ms 20ms",
		"delay 100ms 20ms 25%":             "delay 100ms 20ms 25%: a profile has no correlation here: leave 25% out",
		"delay 1ms 2ms 0% 5":               "delay 1ms 2ms 0% 5: a value too many: leave 5 out",
		"delay 5m":                         `delay 5m: unreadable time "5m"; write a number and its unit, as in 100ms or 1.5s`,
		"delay -5ms":                       `delay -5ms: unreadable time "-5ms"; write a number and its unit, as in 100ms or 1.5s`,
		"delay 1ms delay 2ms":              "delay is there twice; write it once",
		"delay 1ms distribution normal":    "distribution normal without a jitter; write it as in delay 100ms 20ms distribution normal",
		"delay 1ms 1ms distribution norml": `distribution norml: there is no distribution "norml", did you mean normal?`,
		"delay 1ms 1ms distribution":       "distribution: a value is missing; write one, as in distribution normal",
		"loss rnadom 5%":                   `loss rnadom 5%: there is no kind of loss "rnadom", did you mean random?`,
		"loss state 5%":                    "loss state 5%: a profile has no loss of four states: write loss gemodel, or loss=1%,burst=3",
		"corrupt 1% 5%":                    "corrupt 1% 5%: a profile has no correlation here: leave 5% out",
		"loss 101%":                        "loss=101% is out of bounds; write 0% to 100%",
		"loss x=1":                         "loss: a value is missing; write a percentage, as in loss 5%, or " + gemodel,
		"loss gemodel 1% 0%":               "loss gemodel 1% 0%: such a burst never ends: write a chance to leave it, as in " + gemodel + ", or loss 100%",
		"loss gemodel 1% 30% 50%":          "loss gemodel 1% 30% 50%: a profile loses every packet in a burst and none between: leave 1-h and 1-k out, or write 100% and 0%",
		"delay 10ms reorder 25% 50%":       "reorder 25% 50%: a profile has no correlation here: leave 50% out",
		"delay 10ms reorder 25% gap 5":     "gap 5: a profile has no such thing: leave it out",
		"rate 1mbit 20":                    "rate 1mbit 20: a profile's rate counts the bytes of IP packets, and has no overhead: leave 20 out",
		"rate fast":                        `rate: a value is missing; write a rate, as in rate 1mbit`,
		"rate 5foo":                        "rate 5foo: unreadable rate; write a number above 0 and bit, kbit, mbit, gbit, or bps for bytes a second, as in rate 1mbit",
		"rate 1mbit limit 0":               "limit 0: unreadable limit; write a number of packets, 1 or more, as in limit 1000",
		"rate 1mbit limit 200000":          "limit=200000 is out of bounds; write 1 to 100000 packets",
		"loss=1% slot 1ms":                 "slot 1ms: a profile has no such thing: leave it out",
		"duplicate much":                   "duplicate: a value is missing; write a percentage, as in duplicate 1%",
		"delay=1s jitter 1ms":              `"jitter" has no value; write it as in delay=100ms, and a preset's name as the first word and the only one`,
	} {
		p, err := badnet.Parse(text)
		if err == nil {
			t.Errorf("%q: no error, and the profile %s", text, p)
			continue
		}
		check(t, text, err.Error(), want)
	}
}

func TestParseRefuses(t *testing.T) {
	const (
		duration = "unreadable duration; write a number and its unit, as in 100ms or 1.5s"
		share    = "unreadable share; write a percentage, as in 1% or 0.1%"
		rate     = "unreadable rate; write a number above 0 and bit, kbit, mbit or gbit, as in rate=1mbit, or none"
		limit    = "unreadable limit; write a number of packets, 1 or more, as in limit=1000"
		presets  = "none, dsl, cable, 3g, 4g, satellite, cross-region, flaky-wifi, train, congested, lossy and blackhole"
	)
	for text, want := range map[string]string{
		"":                            "an empty network profile; write keys as in delay=100ms loss=1%, or one of the presets " + presets,
		"5g":                          `there is no network preset "5g", did you mean 3g or 4g? (or write keys, as in delay=100ms loss=1%)`,
		"3g 4g":                       `"4g" has no value; write it as in delay=100ms, and a preset's name as the first word and the only one`,
		"dealy=1s":                    `there is no key "dealy", did you mean delay? (each also with up. or down. before it)`,
		"left.delay=1s":               `there is no key "left.delay": use delay, jitter, loss, corrupt, rate, trace, reorder, duplicate, limit, queue or outage (each also with up. or down. before it)`,
		"delay=1s delay=1s":           "delay is there twice; write it once",
		"up.delay=1s up.delay=1s":     "up.delay is there twice; write it once",
		"delay=100":                   "delay=100: " + duration,
		"delay=0":                     "delay=0: " + duration,
		"delay=":                      "delay=: " + duration,
		"delay=61s":                   "delay=1m1s is out of bounds; write 0s to 1m0s",
		"up.delay=61s":                "up: delay=1m1s is out of bounds; write 0s to 1m0s",
		"down.delay=-1s":              "down: delay=-1s is out of bounds; write 0s to 1m0s",
		"delay=1s jitter=-1s":         "jitter=-1s is out of bounds; write 0s or more",
		"delay=1s jitter=2s":          "jitter=2s is above delay=1s, and no packet arrives before it was sent; write a longer delay or less jitter",
		"delay=1s jitter=1s,gauss":    `jitter=1s,gauss: there is no distribution "gauss": use uniform, normal or pareto`,
		"loss=1":                      "loss=1: " + share,
		"loss=-1%":                    "loss=-1%: " + share,
		"loss=nan%":                   "loss=nan%: " + share,
		"loss=%":                      "loss=%: " + share,
		"loss=101%":                   "loss=101% is out of bounds; write 0% to 100%",
		"duplicate=100.5%":            "duplicate=100.5% is out of bounds; write 0% to 100%",
		"loss=1%,3":                   `loss=1%,3: "3" behind the comma; write the mean length of a burst there, as in loss=1%,burst=3, or a correlation, as in loss=1%,correlation=25%`,
		"loss=1%,correlation=5":       `loss=1%,correlation=5: unreadable correlation "5"; write a percentage, as in correlation=25%`,
		"loss=1%,correlation=100%":    "correlation=100% is out of bounds; write 0% to below 100%",
		"loss=0%,correlation=5%":      "correlation=5% of no loss; add a loss, as in loss=5%,correlation=5%",
		"outage=1s":                   "outage=1s: an outage comes again; write how often, as in outage=1s,every=10s",
		"outage=1s,10s":               "outage=1s,10s: an outage comes again; write how often, as in outage=1s,every=10s",
		"outage=1s,every=10":          "outage=1s,every=10: " + duration,
		"outage=1s,every=10s,expo":    `outage=1s,every=10s,expo: there is no form of an outage "expo": use fixed or exponential`,
		"outage=1s,every=9s,fixed,x":  `outage=1s,every=9s,fixed,x: there is no form of an outage "x": use fixed or exponential`,
		"outage=1s,every=1s":          "outage=1s in every=1s lets nothing through; write a longer every, or loss=100%",
		"outage=1ms,every=9ms":        "every=9ms is out of bounds; write 10ms to 1h0m0s",
		"outage=-1s,every=9s":         "outage=-1s is out of bounds; write a time above 0s, as in outage=1s,every=10s, or 0s for none",
		"rate=1mbit queue=coddel":     `queue=coddel: there is no queue "coddel", did you mean codel?`,
		"rate=1mbit queue=red":        `queue=red: there is no queue "red": use droptail, drophead, codel or pie`,
		"delay=1s queue=pie":          "queue=pie without a rate, and nothing waits; add rate=1mbit, or a trace",
		"corrupt=101%":                "corrupt=101% is out of bounds; write 0% to 100%",
		"loss=1%,burst=":              `loss=1%,burst=: unreadable burst ""; write the mean number of packets, 1 or more, as in burst=3`,
		"loss=1%,burst=0":             `loss=1%,burst=0: unreadable burst "0"; write the mean number of packets, 1 or more, as in burst=3`,
		"loss=1%,burst=10001":         "burst=10001 is out of bounds; write 1 to 10000 packets",
		"loss=0%,burst=2":             "burst=2 of no loss; add a loss, as in loss=1%,burst=2",
		"loss=100%,burst=2":           "burst=2 of loss=100%, which never ends; leave the burst out",
		"loss=75%,burst=3":            "burst=3 is too short for loss=75%, which makes bursts of 4 packets by chance alone; write more than that, or leave the burst out",
		"rate=1":                      "rate=1: " + rate,
		"rate=0bit":                   "rate=0bit: " + rate,
		"rate=1mbps":                  "rate=1mbps: " + rate,
		"rate=1e3bit":                 "rate=1e3bit: " + rate,
		"rate=999bit":                 "rate=999bit is out of bounds; write 1kbit to 1000gbit, or none",
		"rate=1001gbit":               "rate=1001gbit is out of bounds; write 1kbit to 1000gbit, or none",
		"rate=1000000000000000gbit":   "rate=1000000000000000gbit: " + rate,
		"reorder=1%":                  "reorder=1% without a delay, and there is nothing to overtake; add delay=10ms, or more",
		"delay=1s reorder=much":       "reorder=much: " + share,
		"limit=0":                     "limit=0: " + limit,
		"limit=ten":                   "limit=ten: " + limit,
		"limit=100001":                "limit=100001 is out of bounds; write 1 to 100000 packets",
		"limit=99999999999999999999":  "limit=99999999999999999999: " + limit,
		"flaky-wifi delay=5ms":        "jitter=10ms is above delay=5ms, and no packet arrives before it was sent; write a longer delay or less jitter",
		"loss=1%,burst=3,burst=4":     `loss=1%,burst=3,burst=4: unreadable burst "3,burst=4"; write the mean number of packets, 1 or more, as in burst=3`,
		"delay=1s jitter=1s,normal,5": `jitter=1s,normal,5: there is no distribution "normal,5", did you mean normal?`,
	} {
		p, err := badnet.Parse(text)
		if err == nil {
			t.Errorf("%q: no error, and the profile %s", text, p)
			continue
		}
		check(t, text, err.Error(), want)
		if p != (badnet.Profile{}) {
			t.Errorf("%q: an error, and the profile %s", text, p)
		}
	}
}

func TestValidateRefusesWhatParseCannotRead(t *testing.T) {
	zero := 0.0
	for name, l := range map[string]badnet.Link{
		"no number":               {Loss: zero / zero},
		"no burst":                {Loss: 0.1, Burst: zero / zero},
		"half a burst":            {Loss: 0.1, Burst: 0.5},
		"a negative share":        {Duplicate: -0.1},
		"bursts that correlate":   {Loss: 0.6, Burst: 3, Correlation: 0.1},
		"a negative rate":         {Rate: -1},
		"a negative limit":        {Limit: -1},
		"an unknown distribution": {Delay: ms, Distribution: 3},
	} {
		if l.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	p := badnet.Profile{Up: badnet.Link{Delay: 100 * ms}, Down: badnet.Link{Delay: 50 * ms}}
	if got := p.RoundTrip(); got != 150*ms {
		t.Errorf("round trip %s, want 150ms", got)
	}
}

func TestJSON(t *testing.T) {
	p, err := badnet.Parse("3g jitter=10ms loss=1%")
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string]any{"profile": p, "up": p.Up, "down": badnet.Link{}})
	if err != nil {
		t.Fatal(err)
	}
	check(t, "JSON", string(data), `{"down":{},"profile":"delay=150ms jitter=10ms loss=1% up.rate=768kbit down.rate=1600kbit",`+
		`"up":{"delay":"150ms","jitter":"10ms","distribution":"uniform","loss":0.01,"rate":768000}}`)
	var back struct{ Profile badnet.Profile }
	if err := json.Unmarshal(data, &back); err != nil || back.Profile != p {
		t.Errorf("read back as %s, %v, want %s", back.Profile, err, p)
	}
}

func TestPresets(t *testing.T) {
	var names []string
	for _, preset := range badnet.Presets() {
		names = append(names, preset.Name)
		got, err := badnet.Parse(preset.Name)
		if err != nil || got != preset.Profile {
			t.Errorf("%s: parsed as %s, %v, want %s", preset.Name, got, err, preset.Profile)
		}
		if back, err := badnet.Parse(preset.Profile.String()); err != nil || back != preset.Profile {
			t.Errorf("%s: written and read again as %s, %v", preset.Name, back, err)
		}
		if !strings.HasSuffix(preset.Doc, ".") || !strings.Contains(preset.Source+" ", "https://") && preset.Source != "by definition" {
			t.Errorf("%s: the doc is %q, the source %q", preset.Name, preset.Doc, preset.Source)
		}
	}
	check(t, "presets", strings.Join(names, " "), "none dsl cable 3g 4g satellite cross-region flaky-wifi train congested lossy blackhole")
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"3g", "3g loss=2%", "delay=100ms jitter=20ms,normal loss=1%,burst=3 rate=1mbit reorder=1% duplicate=0.1% limit=100",
		"up.loss=7% down.loss=0.0001%", "delay=", "=", "loss=.%", "rate=.5kbit", "loss=00.50%", "rate=1000000.4kbit",
		"delay 100ms 20ms distribution normal loss gemodel 1% 30% rate 1mbit limit 100", "3g reorder 25% 0%", "loss=5%,correlation=25% corrupt=1%",
		"up.outage=1s,every=10s,exponential outage=1s,every=20s", "outage=0s,every=1s", "rate=1mbit up.queue=codel down.queue=pie",
		// tc's words:
		"netem latency 100msecs 10usec 25% distribution paretonormal", "delay 1500 loss random 0.3% 25% corrupt 0.1% duplicate 1%", "drop 5 limit 10 rate 8kibps",
		"loss gemodel 1% 10% 100% 0%", "loss gemodel 0", "loss gemodel 1% 0%", "loss state 1%", "rate 5mbit -14 0 0", "rate 1tibit", "rate 0.4bps limit 1",
		"delay 10ms slot 1ms gap 5", "distribution normal", "delay 1s loss=1% dup", "loss", "netem 1", "delay 1\u00a02", "delay 1e3ms", "reorder 25% 50%",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := badnet.Parse(text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("%q: the error has several lines: %v", text, err)
			}
			return
		}
		if err := p.Validate(); err != nil {
			t.Errorf("%q: Parse accepts the profile, and Validate refuses it: %v", text, err)
		}
		back, err := badnet.Parse(p.String())
		if err != nil || back != p {
			t.Errorf("%q: %+v is written as %q and read again as %+v, %v", text, p, p, back, err)
		}
		if back.String() != p.String() {
			t.Errorf("%q: written as %q, and read and written again as %q", text, p, back)
		}
	})
}

func ExampleParse() {
	p, err := badnet.Parse("3g loss=1%,burst=3 down.rate=2mbit")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p)
	fmt.Println("round trip:", p.RoundTrip())
	// Output:
	// delay=150ms loss=1%,burst=3 up.rate=768kbit down.rate=2mbit
	// round trip: 300ms
}

// The fuzzer sends any packets at any times while the link changes. Nothing panics, each
// release comes after its packet and within the longest time that a link can hold one,
// and the counters add up.
func FuzzShaper(f *testing.F) {
	f.Add(uint64(1), []byte("a packet of 12 bytes each, more or less, and at some time."))
	f.Add(uint64(2), make([]byte, 600))
	f.Add(uint64(3), []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"))
	var links []badnet.Link
	for _, text := range []string{
		"none", "lossy", "flaky-wifi", "cross-region", "rate=1kbit limit=2", "rate=1000gbit delay=1m jitter=1m,pareto",
		"delay=1m jitter=1m,normal loss=50%,burst=10000 reorder=50% duplicate=100% limit=1", "loss=5%,correlation=99.9% corrupt=1%", "outage=1s,every=10s", "outage=9s,every=30m,exponential",
		"rate=1mbit queue=codel limit=5", "rate=1kbit queue=drophead limit=2 duplicate=50%", "rate=1mbit queue=pie", "rate=1kbit duplicate=100%",
	} {
		links = append(links, link(f, text))
	}
	// The longest delay and ten times its jitter, behind a queue of a mebibyte
	// each at 1 kbit/s.
	const bound = 11*time.Minute + badnet.DefaultLimit*(1<<23)*time.Millisecond
	f.Fuzz(func(t *testing.T, seed uint64, data []byte) {
		s := badnet.NewShaper(links[seed%uint64(len(links))], seed)
		latest, released, sent := start, uint64(0), uint64(0)
		var buf []time.Time
		for ; len(data) >= 12; data = data[12:] {
			now := start.Add(time.Duration(binary.LittleEndian.Uint64(data)))
			size := int(int32(binary.LittleEndian.Uint32(data[8:])))
			if now.After(latest) {
				latest = now
			}
			buf = buf[:0]
			decide := func(until time.Time) {
				for _, release, ok := s.Decide(until); ok; _, release, ok = s.Decide(until) {
					buf = append(buf, release)
				}
			}
			decide(now)
			held := len(buf) // of packets that were sent before
			if s.Defers() {
				s.Hold(now, size, nil)
				decide(now)
			} else {
				buf = s.Send(buf, now, size)
			}
			sent++
			released += uint64(len(buf))
			if len(buf)-held > 2 {
				t.Fatalf("%d releases", len(buf)-held)
			}
			for i, release := range buf {
				if i >= held && !s.Defers() && release.Before(now) || release.Sub(latest) > bound {
					t.Fatalf("sent at %s, released at %s", now, release)
				}
			}
			if data[0]%8 == 0 {
				s.Set(links[int(data[1])%len(links)])
			}
		}
		for _, _, ok := s.Decide(time.Unix(1<<40, 0)); ok; _, _, ok = s.Decide(time.Unix(1<<40, 0)) {
			released++
		}
		c := s.Counters()
		if c.Packets != sent || c.Packets+c.Duplicated != released+c.Lost+c.Out+c.Overflowed+c.Early {
			t.Errorf("%d sent, %d released, and the counters are %+v", sent, released, c)
		}
	})
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

func check(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %s, want %s", what, got, want)
	}
}
