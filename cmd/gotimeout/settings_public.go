package main

import (
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"gotimeout/internal/receipt"
	"gotimeout/strategies"
)

// readPublic tells who may use the lab. On a PaaS, which sets PORT, that is
// anybody.
func (s *serveCmd) readPublic(out *settings, paas bool) error {
	out.public = given(s.Public, paas)
	for _, text := range s.TrustedProxies {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("--trusted-proxies (GOTIMEOUT_TRUSTED_PROXIES) has %q, which is no range of addresses: write 10.0.0.0/8, and several with commas", text)
		}
		out.proxies = append(out.proxies, p)
	}
	return nil
}

// given is a flag's value, or where it was not given another one.
func given[T any](flag *T, otherwise T) T {
	if flag != nil {
		return *flag
	}
	return otherwise
}

// readCaps reads what bounds the runs: tighter for anybody.
func (s *serveCmd) readCaps(out *settings) error {
	maxDelay, maxTimeout, inFlight, abandoned, receipts := 10*time.Second, 30*time.Second, 2048, 8192, 10_000
	if out.public {
		maxDelay, maxTimeout, inFlight, abandoned, receipts = 5*time.Second, 10*time.Second, 256, 1024, 1000
	}
	out.maxDelay, out.maxTimeout = given(s.MaxDelay, maxDelay), given(s.MaxTimeout, maxTimeout)
	for name, d := range map[string]time.Duration{"--max-delay": out.maxDelay, "--max-timeout": out.maxTimeout} {
		if d <= 0 || d > time.Hour {
			return fmt.Errorf("%s is %s: it must be over 0 and at most 1h", name, d)
		}
	}
	out.limits = receipt.Limits{InFlight: given(s.MaxInFlight, inFlight), Abandoned: given(s.MaxAbandoned, abandoned), Busy: mostBusy()}
	for name, n := range map[string]int{"--max-in-flight": out.limits.InFlight, "--max-abandoned": out.limits.Abandoned} {
		if n < 1 {
			return fmt.Errorf("%s is %d: it must be at least 1", name, n)
		}
	}
	out.receipts = given(s.Receipts, receipts)
	if out.receipts < 1 || out.receipts > 1_000_000 {
		return fmt.Errorf("--receipts is %d: it must be from 1 to 1000000", out.receipts)
	}
	return nil
}

// mostBusy bounds work that computes: room for two comparisons at once, at least.
func mostBusy() int { return max(4*runtime.GOMAXPROCS(0), 2*len(strategies.All())) }
