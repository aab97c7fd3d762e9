package handlers

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"gotimeout/internal/prose"
	"gotimeout/slowops"
	"gotimeout/strategies"
)

// The parameters of the timeouts of phases.
const (
	connectTimeout = "connect_timeout"
	tlsTimeout     = "tls_timeout"
	headerTimeout  = "header_timeout"
	readTimeout    = "read_timeout"
)

// phases are the timeouts of phases that a run was given, by their parameters.
type phases map[string]time.Duration

// phases reads them. Each must be able to come before the one of the run.
func (l *Lab) phases(q map[string]string, p params) (phases, error) {
	given := phases{}
	for _, name := range []string{connectTimeout, tlsTimeout, headerTimeout, readTimeout} {
		if _, ok := q[name]; !ok {
			continue
		}
		d, err := duration(q, name, 0, l.MaxTimeout)
		switch why := p.op.Lacks[name]; {
		case err != nil:
			return nil, err
		case why != "":
			return nil, fmt.Errorf("%s can't be had for op=%s: %s", name, p.op.Name, why)
		case d == 0:
			return nil, fmt.Errorf("%s=%s bounds nothing: it must be over 0", name, q[name])
		case d >= p.timeout:
			return nil, fmt.Errorf("%s=%s never comes before timeout=%s: make it shorter, or timeout longer", name, q[name], p.timeout)
		case name == tlsTimeout && !p.speaksTLS():
			return nil, p.noTLS()
		}
		given[name] = d
	}
	return given, nil
}

func (p *params) speaksTLS() bool {
	for _, t := range p.op.Targets {
		if t.Name == p.target {
			return t.TLS
		}
	}
	return p.op.TLS
}

func (p *params) noTLS() error {
	var with []string
	for _, t := range p.op.Targets {
		if t.TLS {
			with = append(with, t.Name)
		}
	}
	if len(with) == 0 {
		return errors.New("tls_timeout bounds nothing: the backend speaks no TLS: leave it out")
	}
	return fmt.Errorf("tls_timeout bounds nothing where there is no TLS: use target=%s", prose.Or(with))
}

// target reads target=, which by default is the backend itself.
func target(q map[string]string, p *params) (string, error) {
	_, given := q["target"]
	if !given {
		return "", nil
	}
	names := make([]string, len(p.op.Targets))
	for i, t := range p.op.Targets {
		names[i] = t.Name
	}
	value, err := choice(q, "target", " for op="+p.op.Name, names)
	if err == nil && q["backend"] != "" {
		err = fmt.Errorf("backend=%s can't be chosen with a target, which takes the backend's place: leave one of them out", q["backend"])
	}
	p.backend = "" // it is not the one that works
	return value, err
}

// allowed refuses a run that the strategy makes no sense for.
func (p *params) allowed(s strategies.Strategy) error {
	if !s.Suits(p.op.Name) {
		return fmt.Errorf("op=%s makes no sense under %s: use op=%s", p.op.Name, s.Name, prose.Or(s.Only))
	}
	if s.Client == nil {
		return p.phases.refused()
	}
	return nil
}

// refused is why timeouts of phases can't be had where the client gets none.
func (ps phases) refused() error {
	if len(ps) == 0 {
		return nil
	}
	return fmt.Errorf("%s is one of the client's own timeouts, which only /io-timeout sets: ask there, or leave it out", ps.names()[0])
}

func (ps phases) names() (names []string) {
	for name := range ps {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (ps phases) give(c *slowops.Call) {
	c.ConnectTimeout, c.TLSTimeout = ps[connectTimeout], ps[tlsTimeout]
	c.HeaderTimeout, c.ReadTimeout = ps[headerTimeout], ps[readTimeout]
}

// view returns them as the receipt shows them.
func (ps phases) view() map[string]string {
	if len(ps) == 0 {
		return nil
	}
	view := make(map[string]string, len(ps))
	for name, d := range ps {
		view[name] = d.String()
	}
	return view
}
