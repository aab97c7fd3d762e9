package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"
	"github.com/rs/zerolog/log"

	"gotimeout/internal/badnet"
)

// network is a profile as toxics. It never changes: toxiproxy's UpdateToxicJson
// would write to toxics that are in use.
type network struct {
	api  *toxiproxy.ApiServer
	home *toxiproxy.Proxy // holds the toxics, and listens nowhere
	ways [stream.NumDirections]way
}

// way is one direction: the delay first and the rate behind it, since the other
// way round toxiproxy would count the time in the rate's queue as delay.
type way struct {
	link               badnet.Link
	latency, bandwidth *toxics.ToxicWrapper
}

// hush silences the global logger that toxiproxy's bandwidth toxic writes to,
// before any of them reads it. Nothing else here logs with zerolog.
var hush = sync.OnceFunc(func() { log.Logger = zerolog.Nop() })

func newNetwork(p badnet.Profile) (*network, error) {
	hush()
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	n := &network{api: api, home: toxiproxy.NewProxy(api, "", "", "")}
	for direction, l := range []badnet.Link{stream.Upstream: p.Up, stream.Downstream: p.Down} {
		w := &n.ways[direction]
		w.link = l
		var err error
		if w.latency, err = n.add(direction, "latency", &toxics.LatencyToxic{
			Latency: l.Delay.Milliseconds(), Jitter: l.Jitter.Milliseconds(),
		}); err != nil {
			return nil, err
		}
		if l.Rate == 0 { // of 0 toxiproxy's would never send anything
			w.bandwidth, err = n.add(direction, "noop", new(toxics.NoopToxic))
		} else {
			w.bandwidth, err = n.add(direction, "bandwidth", &toxics.BandwidthToxic{Rate: kilobytes(l.Rate)})
		}
		if err != nil {
			return nil, err
		}
	}
	return n, nil
}

// add adds a toxic to all links of a direction that will be made. JSON is the
// only way that toxiproxy has for it.
func (n *network) add(direction int, kind string, toxic toxics.Toxic) (*toxics.ToxicWrapper, error) {
	text, err := json.Marshal(toxics.ToxicWrapper{
		Toxic: toxic, Type: kind, Stream: stream.Direction(direction).String(), Toxicity: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("toxiproxy's %s toxic: %w", kind, err)
	}
	added, err := n.home.Toxics.AddToxicJson(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("toxiproxy's %s toxic: %w", kind, err)
	}
	return added, nil
}
