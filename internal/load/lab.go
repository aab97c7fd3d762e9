package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gotimeout/internal/machine"
)

// Lab is a running lab.
type Lab struct {
	URL   string // without a slash at its end
	Token string // that lets others than its own machine change the network, or ""

	client http.Client
}

// OpenLab returns the lab at a URL, http://host:port. Close it after use.
func OpenLab(text, token string) (*Lab, error) {
	u, err := url.Parse(text)
	if err == nil && u.User != nil {
		return nil, errors.New("it has a user in it, who would stand in the results: write http://host:port")
	}
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" {
		return nil, fmt.Errorf("%q is no URL of a lab: write http://host:port", text)
	}
	lab := &Lab{URL: strings.TrimSuffix(text, "/"), Token: token}
	lab.client.Transport = &http.Transport{MaxIdleConnsPerHost: 4} // not that of the load
	return lab, nil
}

// Close closes the connections that the lab is asked on.
func (l *Lab) Close() { l.client.CloseIdleConnections() }

// Facts are what a lab says of itself.
type Facts struct {
	Machine    machine.Machine `json:"machine"`
	Strategies []string        `json:"strategies"`
	Ops        []Op            `json:"ops"`
	Network    bool            `json:"network"` // one lies between that can be changed
	Public     bool            `json:"public"`  // each client has a share of runs
	Caps       Caps            `json:"caps"`
	Now        Now             `json:"now"`
}

// Op is an op of a lab.
type Op struct {
	Name    string `json:"name"`
	NoDelay string `json:"no_delay"` // why it can't be slow, "" where it can
}

// Caps are a lab's.
type Caps struct {
	MaxDelay    string `json:"max_delay"`
	MaxTimeout  string `json:"max_timeout"`
	MaxInFlight int    `json:"max_in_flight"`
	Receipts    int    `json:"receipts"`
}

// Now is how a lab is at a moment.
type Now struct {
	Goroutines  int     `json:"goroutines"`
	CPU         float64 `json:"cpu_ms"`
	Allocated   uint64  `json:"allocated_bytes"`
	InFlight    int     `json:"in_flight"`
	Abandoned   int     `json:"abandoned"`
	LastReceipt string  `json:"last_receipt"`
}

// Facts asks the lab about itself.
func (l *Lab) Facts(ctx context.Context) (f Facts, err error) {
	err = l.get(ctx, "/lab", &f)
	if err == nil && len(f.Strategies) == 0 {
		err = fmt.Errorf("what serves at %s is no lab", l.URL)
	}
	return f, err
}

// sockets are the lab's connections to its backends.
type sockets struct {
	Backends []struct {
		Client map[string]int `json:"client"`
		Server map[string]int `json:"server"`
	} `json:"backends"`
	Settings map[string]string `json:"settings"`
}

// sockets returns nil where the lab's system doesn't show them.
func (l *Lab) sockets(ctx context.Context) (*sockets, error) {
	var answer struct {
		Sockets *sockets `json:"sockets"`
	}
	err := l.get(ctx, "/sockets", &answer)
	return answer.Sockets, err
}

// receipt is what a receipt is asked for.
type receipt struct {
	ID           string    `json:"id"`
	Complete     bool      `json:"complete"`
	Status       *string   `json:"status"`
	Delay        string    `json:"delay"`
	Started      time.Time `json:"started"`
	Answered     *float64  `json:"answered_ms"`
	Overshoot    *float64  `json:"overshoot_ms"`
	Ended        *float64  `json:"ended_ms"`
	Straggle     *float64  `json:"straggle_ms"`
	BackendEnded *float64  `json:"backend_ended_ms"`
	Waste        *float64  `json:"waste_ms"`
	Goroutines   int       `json:"goroutines_left"`
	Connections  struct {
		Dialed, Reused, Kept, Closed, RST int
	} `json:"connections"`
}

// page is how many receipts are asked for at once.
const page = 1000

// receiptsAfter hands over the receipts after one, the oldest first, or all
// where it is "".
func (l *Lab) receiptsAfter(ctx context.Context, id string, each func(*receipt) error) error {
	for {
		path := fmt.Sprintf("/receipts?limit=%d&after=%s", page, url.QueryEscape(id))
		var answer struct {
			Receipts []*receipt `json:"receipts"`
		}
		if err := l.get(ctx, path, &answer); err != nil {
			return err
		}
		for _, r := range answer.Receipts {
			if err := each(r); err != nil {
				return err
			}
			id = r.ID
		}
		if len(answer.Receipts) < page {
			return nil
		}
	}
}

// path is a network as the lab tells it.
type path struct {
	Driver      string `json:"driver"`
	Profile     string `json:"profile"`
	Calibration *struct {
		RoundTrip *float64 `json:"round_trip_p50_ms"`
	} `json:"calibration"`
}

func (p path) roundTrip() *float64 {
	if p.Calibration == nil {
		return nil
	}
	return p.Calibration.RoundTrip
}

// network returns the lab's, after it was set to a profile unless that is "".
func (l *Lab) network(ctx context.Context, profile string) (p path, err error) {
	if profile == "" {
		return p, l.get(ctx, "/network", &p)
	}
	return p, l.do(ctx, http.MethodPut, "/network", strings.NewReader(profile), &p)
}

// run makes one run, whose error is what it did not complete of.
func (l *Lab) run(ctx context.Context, path string) error {
	var answer struct {
		Completed bool
		Error     *struct{ Message string }
	}
	err := l.get(ctx, path, &answer)
	if err == nil && !answer.Completed && answer.Error != nil {
		return errors.New(answer.Error.Message)
	}
	return err
}
