package telemetry

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Collector is where traces go, by the standard variables.
type Collector struct {
	Addr string // host:port
	grpc bool
}

// ReadCollector reads the variables that say whether there are traces, and where
// they go; the others are left to OpenTelemetry's SDK. It returns nil where
// there are none.
func ReadCollector(getenv func(string) string) (*Collector, error) {
	name, endpoint := first(getenv, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	exporter := getenv("OTEL_TRACES_EXPORTER")
	switch {
	case strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true"), exporter == "none":
		return nil, nil
	case exporter == "" && endpoint == "":
		return nil, nil
	case exporter != "" && exporter != "otlp":
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: use otlp or none", exporter)
	}
	protocol, wire := first(getenv, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	c := &Collector{grpc: wire == "grpc"}
	switch wire {
	case "", "http/protobuf", "http/json":
		endpoint = cmp.Or(endpoint, "http://localhost:4318")
	case "grpc":
		endpoint = cmp.Or(endpoint, "http://localhost:4317")
	default:
		return nil, fmt.Errorf("%s is %q: use http/protobuf, http/json or grpc", protocol, wire)
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("%s can't be read: write http://host:port", name) // not what it is: it may hold a password
	}
	c.Addr = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]))
	return c, nil
}

// first returns the first of the variables that is set.
func first(getenv func(string) string, names ...string) (name, value string) {
	for _, name := range names {
		if value := getenv(name); value != "" {
			return name, value
		}
	}
	return "", ""
}
