package telemetry_test

import (
	"strings"
	"testing"

	"gotimeout/internal/telemetry"
)

func TestReadCollector(t *testing.T) {
	const endpoint, traces, exporter, protocol = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_PROTOCOL"
	for name, test := range map[string]struct {
		env        map[string]string
		addr, says string
	}{
		"nothing":                {nil, "", ""},
		"another signal's":       {map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://h:1"}, "", ""},
		"the endpoint":           {map[string]string{endpoint: "http://h:1"}, "h:1", ""},
		"that of traces first":   {map[string]string{endpoint: "http://h:1", traces: "http://i:2/v1/traces"}, "i:2", ""},
		"no port":                {map[string]string{endpoint: "http://h"}, "h:80", ""},
		"no port, with TLS":      {map[string]string{endpoint: "https://h/"}, "h:443", ""},
		"an IPv6 address":        {map[string]string{endpoint: "http://[::1]:4318"}, "[::1]:4318", ""},
		"the exporter":           {map[string]string{exporter: "otlp"}, "localhost:4318", ""},
		"the exporter, by gRPC":  {map[string]string{exporter: "otlp", protocol: "grpc"}, "localhost:4317", ""},
		"as JSON":                {map[string]string{exporter: "otlp", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json", protocol: "x"}, "localhost:4318", ""},
		"the protocol alone":     {map[string]string{protocol: "grpc"}, "", ""},
		"disabled":               {map[string]string{endpoint: "http://h:1", "OTEL_SDK_DISABLED": "TRUE"}, "", ""},
		"not disabled":           {map[string]string{endpoint: "http://h:1", "OTEL_SDK_DISABLED": "false"}, "h:1", ""},
		"disabled, and nonsense": {map[string]string{exporter: "x", "OTEL_SDK_DISABLED": "true"}, "", ""},
		"no exporter":            {map[string]string{endpoint: "http://h:1", exporter: "none"}, "", ""},
		"an unknown exporter":    {map[string]string{exporter: "zipkin"}, "", `OTEL_TRACES_EXPORTER is "zipkin": use otlp or none`},
		"an unknown protocol":    {map[string]string{endpoint: "http://h:1", protocol: "tcp"}, "", protocol + ` is "tcp": use http/protobuf, http/json or grpc`},
		"no scheme":              {map[string]string{endpoint: "h:1"}, "", endpoint + " can't be read: write http://host:port"},
		"no host":                {map[string]string{traces: "http://:1"}, "", traces + " can't be read"},
		"another scheme":         {map[string]string{endpoint: "unix:///secret"}, "", endpoint + " can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := telemetry.ReadCollector(func(name string) string { return test.env[name] })
			addr := ""
			if c != nil {
				addr = c.Addr
			}
			if addr != test.addr || (err != nil) != (test.says != "") || err != nil && !strings.HasPrefix(err.Error(), test.says) {
				t.Errorf("%q, %v; want %q, %q", addr, err, test.addr, test.says)
			}
		})
	}
}
