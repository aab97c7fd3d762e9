package main

import (
	"maps"
	"slices"
	"strings"

	"gotimeout/handlers"
)

// cacheLacks and dbLacks say which timeouts of phases the drivers have not.
var (
	cacheLacks = map[string]string{
		"tls_timeout":    "gomemcache has a timeout for the dial and one for each read and write, and the lab gives it no TLS",
		"header_timeout": "memcached's protocol has no headers, and gomemcache has a timeout for the dial and one for each read and write",
	}
	dbLacks = map[string]string{
		"tls_timeout":    "go-sql-driver has timeout (of the dial), readTimeout and writeTimeout, and bounds its TLS handshake by readTimeout",
		"header_timeout": "MySQL's protocol has no headers, and go-sql-driver has timeout (of the dial), readTimeout and writeTimeout",
	}
)

// lacksAll is what an op lacks that has no timeouts of phases.
func lacksAll(why string) map[string]string {
	lacks := map[string]string{}
	for _, name := range []string{"connect_timeout", "tls_timeout", "header_timeout", "read_timeout"} {
		lacks[name] = why
	}
	return lacks
}

// httpTargets are the servers with a fault, in the order of their names.
func (b *bench) httpTargets() (targets []handlers.Target) {
	for _, name := range slices.Sorted(maps.Keys(b.targets.URLs)) {
		kind, h2 := strings.CutSuffix(name, "-h2")
		doc := targetDocs[kind]
		if h2 {
			doc += " Over HTTP/2."
		}
		targets = append(targets, handlers.Target{Name: name, Doc: doc, TLS: b.targets.TLS(name), Sound: kind == "ok"})
	}
	return targets
}

// targetDocs say what each does.
var targetDocs = map[string]string{
	"ok":           "Answers as it should.",
	"refused":      "Nobody listens there.",
	"blackhole":    "Nobody answers a SYN: its accept queue is full.",
	"silent":       "Takes the request, and says nothing.",
	"slow-headers": "Sends a header, a byte now and then.",
	"drip":         "Sends the body, a byte now and then.",
	"stall":        "Sends half the body, and then nothing.",
	"slow-tls":     "Takes its time to shake hands.",
	"reset":        "Drops the connection when it is asked.",
	"half-close":   "Sends half the body, and says that it is all.",
}
