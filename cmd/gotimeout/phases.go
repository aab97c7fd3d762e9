package main

import "gotimeout/handlers"

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
	for _, t := range b.targets.List {
		targets = append(targets, handlers.Target(t))
	}
	return targets
}
