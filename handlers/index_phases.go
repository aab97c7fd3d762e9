package handlers

import (
	"net/url"
	"slices"
	"time"
)

// bounds are those of the page's calls of targets: each can be told from the
// others by when it comes.
var bounds = struct{ Connect, TLS, Header, Read, Total time.Duration }{
	200 * time.Millisecond, 300 * time.Millisecond, 400 * time.Millisecond, 500 * time.Millisecond, time.Second,
}

// Bounds are those of the targets' calls.
func (indexView) Bounds() any { return bounds }

// Targets are the servers of the first op that has any, those without a fault
// first, to hold the others against.
func (v indexView) Targets() (targets []Target) {
	i := slices.IndexFunc(v.Ops, func(op Op) bool { return len(op.Targets) > 0 })
	if i < 0 {
		return nil
	}
	for _, sound := range []bool{true, false} {
		for _, t := range v.Ops[i].Targets {
			if t.Sound == sound {
				targets = append(targets, t)
			}
		}
	}
	return targets
}

// TargetPath asks a target under every bound that it can have. The one that is
// well answers at once, the others take longer than all bounds.
func (v indexView) TargetPath(t Target) string {
	delay := min(2*bounds.Total, v.MaxDelay)
	if t.Sound {
		delay = min(bounds.Connect, v.MaxDelay)
	}
	q := url.Values{"target": {t.Name}, "delay": {delay.String()}, "timeout": {bounds.Total.String()}}
	for name, bound := range map[string]time.Duration{connectTimeout: bounds.Connect, tlsTimeout: bounds.TLS, headerTimeout: bounds.Header, readTimeout: bounds.Read} {
		if name != tlsTimeout || t.TLS {
			q.Set(name, bound.String())
		}
	}
	return "/io-timeout?" + q.Encode()
}

// PhaseNames are those of an HTTP call, in their order.
func (indexView) PhaseNames() []string {
	return []string{"dns", "connect", "tls", "request", "first_byte", "headers", "body"}
}
