package badnet

import (
	"encoding/json"
	"errors"
	"time"

	"gotimeout/internal/prose"
)

// None is the name of the preset that changes nothing.
const None = "none"

// Preset is a Profile with a name.
type Preset struct {
	Name    string
	Doc     string // one sentence
	Source  string // of the figures
	Profile Profile
}

// MarshalJSON adds the sum of the delays as round_trip_ms.
func (p Preset) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name      string  `json:"name"`
		Doc       string  `json:"doc"`
		Source    string  `json:"source"`
		Profile   Profile `json:"profile"`
		RoundTrip float64 `json:"round_trip_ms"`
	}{p.Name, p.Doc, p.Source, p.Profile, float64(p.Profile.RoundTrip()) / float64(time.Millisecond)})
}

const (
	ms   = time.Millisecond
	kbit = 1_000
	mbit = 1_000_000
)

// The sources of the figures. The delay of one way is half of a published round
// trip.
const (
	webPageTest = "WebPageTest, https://github.com/WPO-Foundation/webpagetest/blob/a7cf6a7742c9e93cf0c06ee6b58a608adb223f20/www/settings/connectivity.ini.sample"
	rfc2488     = "RFC 2488, section 2, https://www.rfc-editor.org/rfc/rfc2488"
	awsRegions  = "measured round trips between AWS regions, https://acomputerscientistlearnsaws.blogspot.com/2017/04/aws-regions.html"
	str0m       = "str0m-netem's NetemConfig::wifi_lossy, https://docs.rs/str0m-netem/latest/str0m_netem/struct.NetemConfig.html"
	subset093   = "SUBSET-093 2.3.0, transmission interference, 95%, https://fdocuments.net/document/gsm-r-interfaces-class-1-requirements-2020-02-14-alcatel-alstom-ansaldo.html"
	bufferbloat = "the rates of dsl, and the queue of one host in a hundred in To the Moon and back, https://imt.hal.science/hal-00858171v1"
	loadero     = "Loadero's network conditions, https://wiki.loadero.com/test-creation/participant-configuration/network-conditions/"
)

// Presets returns the presets in the order of the help.
func Presets() []Preset {
	return []Preset{
		{
			None, "The network as it is.", "by definition",
			Profile{},
		},
		{
			"dsl", "A telephone line: 1.5 Mbit/s down, 384 kbit/s up, 50 ms there and back.", webPageTest,
			Profile{
				Up:   Link{Delay: 25 * ms, Rate: 384 * kbit},
				Down: Link{Delay: 25 * ms, Rate: 1500 * kbit},
			},
		},
		{
			"cable", "A television cable: 5 Mbit/s down, 1 Mbit/s up, 28 ms there and back.", webPageTest,
			Profile{
				Up:   Link{Delay: 14 * ms, Rate: 1 * mbit},
				Down: Link{Delay: 14 * ms, Rate: 5 * mbit},
			},
		},
		{
			"3g", "A phone on 3G: 1.6 Mbit/s down, 768 kbit/s up, 300 ms there and back.", webPageTest,
			Profile{
				Up:   Link{Delay: 150 * ms, Rate: 768 * kbit},
				Down: Link{Delay: 150 * ms, Rate: 1600 * kbit},
			},
		},
		{
			"4g", "A phone on 4G: 9 Mbit/s both ways, 170 ms there and back.", webPageTest,
			both(Link{Delay: 85 * ms, Rate: 9 * mbit}),
		},
		{
			"satellite", "A geostationary satellite at the edge of its view: 558 ms there and back.", rfc2488,
			both(Link{Delay: 279 * ms}),
		},
		{
			"cross-region", "A backend in another region, Virginia to Ireland: 80 ms there and back.", awsRegions,
			both(Link{Delay: 40 * ms}),
		},
		{
			"flaky-wifi", "Weak Wi-Fi: 5% lost in bursts of two packets, and delays that vary.", str0m,
			both(Link{Delay: 15 * ms, Jitter: 10 * ms, Loss: 0.05, Burst: 2, Rate: 50 * mbit}),
		},
		{
			"train", "The radio of train control at the limit of what is allowed: 0.8 s without contact after each 20 s.", subset093,
			both(Link{Outage: 800 * ms, Every: 20800 * ms}),
		},
		{
			"congested", "A telephone line whose queues take a second: while one program fills them, all others wait.", bufferbloat,
			Profile{
				Up:   Link{Delay: 25 * ms, Rate: 384 * kbit, Limit: 32},
				Down: Link{Delay: 25 * ms, Rate: 1500 * kbit, Limit: 125},
			},
		},
		{
			"lossy", "Every twentieth packet is lost, and nothing else is bad.", loadero,
			both(Link{Loss: 0.05}),
		},
		{
			"blackhole", "Every packet is lost, and nobody says so.", loadero,
			both(Link{Loss: 1}),
		},
	}
}

func both(l Link) Profile { return Profile{l, l} }

// Lookup returns the preset of a name.
func Lookup(name string) (Preset, error) {
	for _, p := range Presets() {
		if p.Name == name {
			return p, nil
		}
	}
	return Preset{}, errors.New(prose.Unknown("network preset", name, presetNames()) + " (or write keys, as in delay=100ms loss=1%)")
}

func presetNames() (names []string) {
	for _, p := range Presets() {
		names = append(names, p.Name)
	}
	return names
}
