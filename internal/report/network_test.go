package report_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"gotimeout/internal/badnet/netlog"
	"gotimeout/internal/golden"
	"gotimeout/internal/report"
)

// networkPage draws a log whose buckets are JSON, after a first line with the profile.
func networkPage(t *testing.T, profile string, lines ...string) (text string, root *html.Node) {
	t.Helper()
	header := fmt.Sprintf(`{"type":"network-log","version":1,"profile":%q,"driver":"tun","seed":7,"started":"2026-11-29T05:00:00Z"}`, profile)
	r, err := netlog.Read(strings.NewReader(header + "\n" + strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err = report.NetworkHTML(&b, r); err == nil {
		root, err = html.Parse(bytes.NewReader(b.Bytes()))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"NaN", "Inf", "<script", "src=", "http://localhost", "@import"} {
		if strings.Contains(b.String(), wrong) {
			t.Errorf("there is %q in %s", wrong, &b)
		}
	}
	return b.String(), root
}

// The picture has a step for each bucket, a gap where nothing is known, and the drops by cause.
func TestNetworkHTML(t *testing.T) {
	text, root := networkPage(t, "rate=1mbit loss=10% outage=1s,every=10s",
		`{"from_ms":0,"to_ms":100,"up":{"rate_bit_s":1000000,"sent_bytes":12500,"sent_packets":10,"queue":4},"down":{"rate_bit_s":1000000}}`,
		`{"from_ms":100,"to_ms":200,"up":{"rate_bit_s":1000000,"bytes":12500,"packets":10,"lost":3,"overflowed":2,"queue":9,"delay_p50_ms":100,"delay_p99_ms":150.5},"down":{"rate_bit_s":1000000}}`,
		`{"from_ms":200,"to_ms":300,"up":{"rate_bit_s":null,"out":7},"down":{"rate_bit_s":1000000}}`,
		`{"from_ms":300,"to_ms":400,"up":{"rate_bit_s":null,"bytes":6250,"packets":5,"delay_p50_ms":20,"delay_p99_ms":20},"down":{"rate_bit_s":1000000}}`,
		`{"from_ms":400,"to_ms":400.5,"up":{"rate_bit_s":null,"bytes":6250,"packets":5},"down":{"rate_bit_s":1000000}}`, "")
	golden.Check(t, "network.html", text[strings.Index(text, "<body>"):])
	svgs := all(root, "svg")
	if len(svgs) != 2 {
		t.Fatalf("%d pictures", len(svgs))
	}
	const want = "10 packets, 13 kB were sent and 20 packets, 25 kB delivered. The longest queue was of 9 packets, the highest p99 of the delay 150 ms. Dropped packets: lost 3, outage 7, queue full 2, early 0."
	if got := textOf(all(svgs[0], "desc")[0]); !strings.Contains(got, want) {
		t.Errorf("up is described as %q", got)
	}
	shown := textOf(svgs[0])
	for _, key := range []string{"delivered", "sent", "rate", "p50", "p99", "lost", "outage", "queue full"} {
		if !strings.Contains(shown, key) {
			t.Errorf("up has no key of %q", key)
		}
	}
	if strings.Contains(text, "ends in the middle") {
		t.Error("the log is not cut, and the page says so")
	}
}

// A log that was cut is drawn, and the page says until when it goes.
func TestNetworkHTMLOfACutLog(t *testing.T) {
	text, _ := networkPage(t, "3g", `{"from_ms":0,"to_ms":100}`, `{"from_ms":100,"to_ms":2000}`, `{"from_ms":2000,"to_`)
	if !strings.Contains(text, "The log ends in the middle of a line, since network run was killed or still writes. This page shows the first 2 s.") {
		t.Error(text)
	}
}

// A long log has as many steps as a picture can show apart, and extremes stay in the picture.
func TestNetworkHTMLOfManyBuckets(t *testing.T) {
	var lines []string
	for i := range 3001 {
		lines = append(lines, fmt.Sprintf(`{"from_ms":%d,"to_ms":%d,"up":{"bytes":%d,"queue":1000000000,"delay_p50_ms":9e11,"delay_p99_ms":1e-9},"down":{"rate_bit_s":1}}`, i*100, i*100+100, i%2*1e12))
	}
	text, root := networkPage(t, "<script>alert(1)</script>", append(lines, "")...)
	if !strings.Contains(text, "Each step is 21 buckets of the log, 2.1 s: it has") || len(text) > 100_000 {
		t.Errorf("%d bytes: %.3000s", len(text), text)
	}
	for _, path := range all(root, "path") {
		for _, at := range strings.FieldsFunc(attribute(path, "d"), func(r rune) bool { return strings.ContainsRune("MLZ", r) }) {
			var x, y float64
			if _, err := fmt.Sscan(at, &x, &y); err != nil || x < 0 || x > 360 || y < 0 || y > 500 {
				t.Fatalf("%q is outside of the picture (%v)", at, err)
			}
		}
	}
}

func FuzzNetworkHTML(f *testing.F) {
	f.Add(`{"from_ms":0,"to_ms":100,"up":{"bytes":1}}`)
	f.Add(`{"from_ms":0,"to_ms":1e-3,"up":{"bytes":999999999999,"lost":999999999999,"rate_bit_s":1,"delay_p50_ms":0}}`)
	f.Fuzz(func(t *testing.T, line string) {
		r, err := netlog.Read(strings.NewReader(`{"type":"network-log","version":1}` + "\n" + line + "\n"))
		if err != nil || len(r.Buckets) == 0 {
			return
		}
		var b bytes.Buffer
		if err := report.NetworkHTML(&b, r); err != nil || strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") || b.Len() > 10<<20 {
			t.Errorf("%v: %d bytes", err, b.Len())
		}
	})
}
