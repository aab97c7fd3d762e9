package handlers

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/prose"
	"gotimeout/internal/wire"
	"gotimeout/slowops"
	"gotimeout/strategies"
)

// The defaults are pytimeout's: http, 5s, 1s.
const (
	defaultDelay   = 5 * time.Second
	defaultTimeout = time.Second
)

// DefaultDelay is the delay of a run without delay=, for an op that can be slow. It is 0 on
// a bad network, which is slow by itself.
func (l *Lab) DefaultDelay() time.Duration {
	if l.state().Driver != badnet.Without {
		return 0
	}
	return min(defaultDelay, l.MaxDelay)
}

// DefaultTimeout is the timeout of a run without timeout=.
func (l *Lab) DefaultTimeout() time.Duration { return min(defaultTimeout, l.MaxTimeout) }

// params are the parameters of a run.
type params struct {
	op      *Op
	delay   time.Duration
	timeout time.Duration
	ctx     string // "aware" or "deaf"
	work    string
	backend string
	target  string
	own     map[string]string // the values of the op's Params; nil without one
	phases  phases
	job     string // the job that the run is of
}

// parse reads the query of a run, for a strategy or the zero Strategy for all. An error is
// a sentence for the caller.
func (l *Lab) parse(s strategies.Strategy, raw string) (p params, err error) {
	q, err := query(raw, l.allParameters()...)
	if err != nil {
		return p, err
	}
	if _, given := q["op"]; !given && !s.Suits(l.Ops[0].Name) {
		q["op"] = l.firstOp(s)
	}
	if p, err = l.params(q); err == nil && s.Do != nil {
		err = l.allowed(s, p)
	}
	return p, err
}

// firstOp names the first op that the strategy suits, or where it suits none the default op.
func (l *Lab) firstOp(s strategies.Strategy) string {
	i := slices.IndexFunc(l.Ops, func(op Op) bool { return s.Suits(op.Name) })
	return l.Ops[max(i, 0)].Name
}

// allParameters returns the parameters of a run.
func (l *Lab) allParameters() []string {
	l.parametersOnce.Do(func() {
		l.parameters = []string{"op", "delay", "timeout", "ctx"}
		for _, c := range l.choicesOf(&Op{}) {
			l.parameters = append(l.parameters, c.Name)
		}
		l.parameters = append(l.parameters, connectTimeout, tlsTimeout, headerTimeout, readTimeout)
	})
	return l.parameters
}

func (l *Lab) params(q map[string]string) (p params, err error) {
	if p, err = l.choices(q); err != nil {
		return p, err
	}
	if p.delay, err = l.delay(q, p.op); err != nil {
		return p, err
	}
	p.timeout, err = bound(q, "timeout", l.DefaultTimeout(), l.MaxTimeout, "at most ", l.MaxTimeout)
	if err == nil {
		p.phases, err = l.phases(q, p)
	}
	return p, err
}

// choices reads the parameters that have one of a few values.
func (l *Lab) choices(q map[string]string) (p params, err error) {
	if p.op, err = l.op(q); err != nil {
		return p, err
	}
	if p.ctx, err = choice(q, "ctx", nil, wire.Ctxs()); err != nil {
		return p, err
	}
	if p.work, err = choice(q, "work", p.op, p.op.Works); err != nil {
		return p, err
	}
	if p.backend, err = choice(q, "backend", p.op, p.op.Backends); err != nil {
		return p, err
	}
	if p.target, err = target(q, &p); err != nil {
		return p, err
	}
	return p, l.ownParams(q, &p)
}

// ownParams reads the parameters that only some ops have.
func (l *Lab) ownParams(q map[string]string, p *params) error {
	for _, of := range p.op.Params {
		value, err := choice(q, of.Name, p.op, of.Values)
		if err != nil {
			return err
		}
		if p.own == nil {
			p.own = map[string]string{}
		}
		p.own[of.Name] = value
	}
	for i := range l.Ops {
		for _, of := range l.Ops[i].Params {
			if _, given := q[of.Name]; given && p.own[of.Name] == "" {
				return fmt.Errorf("%s can't be chosen for op=%s: leave it out, or use op=%s", of.Name, p.op.Name, prose.Or(l.opsWith(of.Name)))
			}
		}
	}
	return nil
}

// opsWith returns the ops that have a parameter.
func (l *Lab) opsWith(param string) (names []string) {
	for _, op := range l.Ops {
		if slices.ContainsFunc(op.Params, func(of Param) bool { return of.Name == param }) {
			names = append(names, op.Name)
		}
	}
	return names
}

// chosen returns the parameters that only some ops have, with their values.
func (p *params) chosen() [][2]string {
	all := [][2]string{{"work", p.work}, {"backend", p.backend}, {"target", p.target}}
	for _, of := range p.op.Params {
		all = append(all, [2]string{of.Name, p.own[of.Name]})
	}
	return slices.DeleteFunc(all, func(c [2]string) bool { return c[1] == "" })
}

// takes refuses a request with a parameter that is not in names.
func takes(handle http.HandlerFunc, names ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := query(r.URL.RawQuery, names...); err != nil {
			badParameter(w, r, err)
			return
		}
		handle(w, r)
	}
}

// query reads a query, in which each of the allowed parameters may be given once. It runs
// for every request, and url.ParseQuery takes twice as long.
func query(raw string, allowed ...string) (map[string]string, error) {
	q := make(map[string]string, 8)
	for part, rest := "", raw; rest != ""; {
		if part, rest, _ = strings.Cut(rest, "&"); part == "" {
			continue
		}
		name, value, err := pair(part)
		if err != nil {
			return nil, fmt.Errorf("the query is malformed (%w): write name=value&name=value", err)
		}
		switch _, twice := q[name]; {
		case len(allowed) == 0:
			return nil, fmt.Errorf("there is no parameter %.40q: leave it out, as this path takes none", name)
		case !slices.Contains(allowed, name):
			return nil, errors.New(prose.Unknown("parameter", name, allowed))
		case twice:
			all, _ := url.ParseQuery(raw)
			return nil, fmt.Errorf("%s is given %d times: give it once", name, len(all[name]))
		case value == "":
			return nil, fmt.Errorf("%s is empty: give it a value or leave it out", name)
		}
		q[name] = value
	}
	return q, nil
}

// pair reads one name=value.
func pair(part string) (name, value string, err error) {
	if strings.Contains(part, ";") {
		return "", "", errors.New("invalid semicolon separator in query")
	}
	name, value, _ = strings.Cut(part, "=")
	if name, err = url.QueryUnescape(name); err == nil {
		value, err = url.QueryUnescape(value)
	}
	return name, value, err
}

func (l *Lab) op(q map[string]string) (*Op, error) {
	name, given := q["op"]
	if !given {
		return &l.Ops[0], nil
	}
	for i := range l.Ops {
		if l.Ops[i].Name == name {
			return &l.Ops[i], nil
		}
	}
	names := make([]string, len(l.Ops))
	for i, op := range l.Ops {
		names[i] = op.Name
	}
	return nil, errors.New(prose.Unknown("op", name, names))
}

// choice reads a parameter that has one of the allowed values; the first is the default. If
// op is not nil, the values are those of the op.
func choice(q map[string]string, name string, op *Op, allowed []string) (string, error) {
	value, given := q[name]
	of := func() string {
		if op == nil {
			return ""
		}
		if op.Own != nil {
			return " for op=" + op.Name + ", which is an own call"
		}
		return " for op=" + op.Name
	}
	switch {
	case !given && len(allowed) == 0:
		return "", nil
	case !given:
		return allowed[0], nil
	case len(allowed) == 0:
		return "", fmt.Errorf("%s can't be chosen%s: leave it out", name, of())
	case !slices.Contains(allowed, value):
		return "", fmt.Errorf("%s=%.40s is not known%s: use %s", name, value, of(), prose.Or(allowed))
	}
	return value, nil
}

// delay reads the delay. Only an op whose backend can be slow has one.
func (l *Lab) delay(q map[string]string, op *Op) (time.Duration, error) {
	if op.NoDelay == "" {
		return duration(q, "delay", l.DefaultDelay(), l.MaxDelay)
	}
	if d, err := parseDuration(q["delay"], l.MaxDelay); err == nil && d != 0 {
		return 0, fmt.Errorf("delay=%.40s can't be had: %s", q["delay"], op.NoDelay)
	}
	return duration(q, "delay", 0, l.MaxDelay)
}

// duration reads a duration from 0 to longest.
func duration(q map[string]string, name string, otherwise, longest time.Duration) (time.Duration, error) {
	d, err := readDuration(q, name, otherwise, longest)
	switch {
	case err != nil:
		return 0, err
	case d < 0:
		return 0, fmt.Errorf("%s=%.40s is negative: use 0 to %s", name, q[name], longest)
	case d == 0 && strings.ContainsAny(q[name], "123456789"):
		return 0, fmt.Errorf("%s=%.40s is under 1ns: use 0, or 1ns or more", name, q[name])
	}
	return d, nil
}

// bound reads a timeout of more than 0. The error names the limit by words and below.
func bound(q map[string]string, name string, otherwise, longest time.Duration, words string, below time.Duration) (time.Duration, error) {
	d, err := readDuration(q, name, otherwise, longest)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%s=%.40s bounds nothing: use more than 0, %s%s", name, q[name], words, below)
	}
	return d, err
}

// readDuration reads a duration of at most longest.
func readDuration(q map[string]string, name string, otherwise, longest time.Duration) (time.Duration, error) {
	text, given := q[name]
	if !given {
		return otherwise, nil
	}
	d, err := parseDuration(text, longest)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s=%.40s is no duration: write 250ms, 1.5s or plain seconds", name, text)
	case d > longest:
		return 0, fmt.Errorf("%s=%.40s is over this lab's cap: use at most %s", name, text, longest)
	}
	return d, nil
}

// parseDuration reads a duration as Go writes it or in plain seconds. A duration over
// longest may be returned as another one over longest.
func parseDuration(text string, longest time.Duration) (time.Duration, error) {
	if strings.Trim(text, "+-.0123456789") != "" {
		return time.ParseDuration(text)
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return time.ParseDuration(text)
	}
	if !(seconds <= longest.Seconds()) { // a Duration might overflow
		seconds = longest.Seconds() + 1
	}
	return time.Duration(math.Round(max(seconds, -1) * float64(time.Second))), nil
}

// The parameters of the timeouts of phases.
const (
	connectTimeout = "connect_timeout"
	tlsTimeout     = "tls_timeout"
	headerTimeout  = "header_timeout"
	readTimeout    = "read_timeout"
)

// phases are the phase timeouts of a run, by their parameters.
type phases map[string]time.Duration

// phases reads the phase timeouts, each of which must be shorter than the timeout of
// the run.
func (l *Lab) phases(q map[string]string, p params) (phases, error) {
	var given phases
	for _, name := range []string{connectTimeout, tlsTimeout, headerTimeout, readTimeout} {
		if _, ok := q[name]; !ok {
			continue
		}
		d, err := bound(q, name, 0, l.MaxTimeout, "less than timeout=", p.timeout)
		switch why := p.op.Lacks[name]; {
		case err != nil:
			return nil, err
		case why != "":
			return nil, fmt.Errorf("%s can't be had for op=%s: %s", name, p.op.Name, why)
		case d >= p.timeout:
			return nil, fmt.Errorf("%s=%s is not shorter than timeout=%s, so it would never pass: make it shorter, or the timeout longer", name, q[name], p.timeout)
		case name == tlsTimeout && !p.speaksTLS():
			return nil, p.noTLS()
		}
		if given == nil {
			given = phases{}
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

// target reads target=; the default is the backend itself.
func target(q map[string]string, p *params) (string, error) {
	_, given := q["target"]
	if !given {
		return "", nil
	}
	names := make([]string, len(p.op.Targets))
	for i, t := range p.op.Targets {
		names[i] = t.Name
	}
	value, err := choice(q, "target", p.op, names)
	if err == nil && q["backend"] != "" {
		err = fmt.Errorf("backend=%s can't be chosen with a target, which takes the backend's place: leave one of them out", q["backend"])
	}
	p.backend = "" // the target takes the backend's place
	return value, err
}

// allowed refuses a run with an op that the strategy doesn't suit.
func (l *Lab) allowed(s strategies.Strategy, p params) error {
	if !s.Suits(p.op.Name) {
		return fmt.Errorf("op=%s makes no sense under %s: use op=%s", p.op.Name, s.Name, prose.Or(s.Only))
	}
	if !boundsIO(s) {
		return l.refusePhases(p.phases)
	}
	return nil
}

// boundsIO reports whether the strategy sets the client's own timeouts.
func boundsIO(s strategies.Strategy) bool { return s.Bounds(time.Hour).IO > 0 }

// bound gives a call the bounds that the strategy asks of its client.
func (p *params) bound(c *slowops.Call, s strategies.Strategy) {
	asks := s.Bounds(p.timeout)
	c.IOTimeout, c.ServerLimit, c.KillAfter = asks.IO, asks.Server, asks.Kill
	if asks.IO > 0 {
		p.phases = p.phases.or(p.op.Timeouts, p.timeout)
		p.phases.give(c)
	}
}

// refusePhases refuses phase timeouts. The error names the strategies that take them,
// which set the client's own timeouts.
func (l *Lab) refusePhases(ps phases) error {
	if len(ps) == 0 {
		return nil
	}
	var under []string
	for _, s := range l.Strategies {
		if boundsIO(s) {
			under = append(under, "/"+s.Name)
		}
	}
	return fmt.Errorf("%s is one of the client's own timeouts, which only %s sets: ask there, or leave it out", ps.names()[0], prose.Or(under))
}

// or returns the timeouts of the run, and of others those that the run doesn't set itself
// and that are shorter than its timeout.
func (ps phases) or(others phases, timeout time.Duration) phases {
	if len(others) == 0 {
		return ps
	}
	all := phases{}
	maps.Copy(all, ps)
	for name, d := range others {
		if _, given := all[name]; !given && d < timeout {
			all[name] = d
		}
	}
	return all
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

// view returns the timeouts as the receipt shows them.
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
