package netlog_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/netlog"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

// Packets are in the bucket of their time, drops in that of the packet that tells of them,
// and the log is complete after Close.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var file bytes.Buffer
		p, err := badnet.Parse("rate=1mbit down.rate=2mbit loss=10%")
		if err != nil {
			t.Fatal(err)
		}
		l, err := netlog.New(&file, netlog.Header{Profile: p.String(), Driver: "tun", Seed: 7, Started: time.Now()}, p)
		if err != nil {
			t.Fatal(err)
		}
		packet := func(up bool, delay time.Duration, size, queued int, c badnet.Counters) badnet.Packet {
			return badnet.Packet{At: time.Now(), Delay: delay, Up: up, Data: make([]byte, size), Queued: queued, Counters: c}
		}
		time.Sleep(50 * ms)
		for i := range 100 {
			l.Sent(packet(true, 0, 1000, i+1, badnet.Counters{}))
		}
		l.Sent(packet(false, 0, 40, 0, badnet.Counters{Lost: 1}))
		time.Sleep(200 * ms) // and 50 to the next bucket
		for i := range 100 {
			l.Delivered(packet(true, time.Duration(i+1)*ms, 1000, 99-i, badnet.Counters{Overflowed: 2}))
		}
		l.Changed(badnet.Profile{})
		l.Delivered(packet(false, 30*ms, 40, 0, badnet.Counters{Lost: 1}))
		time.Sleep(75 * ms)
		synctest.Wait() // the log has written
		if lines := strings.Count(file.String(), "\n"); lines != 1+3 {
			t.Errorf("%d lines are written before the end", lines)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l.Sent(packet(true, 0, 1000, 1, badnet.Counters{})) // too late
		r, err := netlog.Read(&file)
		if err != nil || r.Cut || len(r.Buckets) != 4 || r.Profile != p.String() || r.Driver != "tun" || r.Seed != 7 {
			t.Fatalf("%+v, %v", r, err)
		}
		var got []string
		for _, b := range r.Buckets {
			got = append(got, fmt.Sprintf("%g to %g: up %s, down %s", b.From, b.To, text(b.Up), text(b.Down)))
		}
		want := []string{
			"0 to 100: up 1000000: 100 sent 100000, 0 delivered 0, 0 lost, 0 overflowed, queue 100, delay - -, down 2000000: 1 sent 40, 0 delivered 0, 1 lost, 0 overflowed, queue 0, delay - -",
			"100 to 200: up 1000000: 0 sent 0, 0 delivered 0, 0 lost, 0 overflowed, queue 100, delay - -, down 2000000: 0 sent 0, 0 delivered 0, 0 lost, 0 overflowed, queue 0, delay - -",
			"200 to 300: up -: 0 sent 0, 100 delivered 100000, 0 lost, 2 overflowed, queue 100, delay 50 99, down -: 0 sent 0, 1 delivered 40, 1 lost, 0 overflowed, queue 0, delay 30 30",
			"300 to 325: up -: 0 sent 0, 0 delivered 0, 0 lost, 0 overflowed, queue 0, delay - -, down -: 0 sent 0, 0 delivered 0, 0 lost, 0 overflowed, queue 0, delay - -",
		}
		if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
			t.Errorf("got\n%s\nwant\n%s", g, w)
		}
	})
}

func text(w netlog.Way) string {
	rate := "-"
	if w.Rate != nil {
		rate = fmt.Sprint(*w.Rate)
	}
	delay := func(ms *float64) string {
		if ms == nil {
			return "-"
		}
		return fmt.Sprint(*ms)
	}
	return fmt.Sprintf("%s: %d sent %d, %d delivered %d, %d lost, %d overflowed, queue %d, delay %s %s",
		rate, w.SentPackets, w.SentBytes, w.Packets, w.Bytes, w.Lost, w.Overflowed, w.Queue, delay(w.DelayP50), delay(w.DelayP99))
}

type full struct{ room int }

func (f *full) Write(b []byte) (int, error) {
	if f.room -= len(b); f.room < 0 {
		return 0, errors.New("no space left")
	}
	return len(b), nil
}

// A full disk ends the log, and Close says so.
func TestLogOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := netlog.New(&full{500}, netlog.Header{Started: time.Now()}, badnet.Profile{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := l.Close(); err == nil {
			t.Error("no error")
		}
		if _, err := netlog.New(&full{5}, netlog.Header{}, badnet.Profile{}); err == nil {
			t.Error("no error of the first line")
		}
	})
}

const header = `{"type":"network-log","version":1,"profile":"3g","driver":"tun","seed":1,"started":"2026-11-29T00:00:00Z"}` + "\n"

func TestReadRefuses(t *testing.T) {
	for file, want := range map[string]string{
		"":                         "this is no log of network run --log",
		"\x7fELF":                  "this is no log of network run --log",
		`{"type":"atlas"}` + "\n":  "this is no log of network run --log",
		strings.Repeat("x", 3<<20): "this is no log of network run --log: a line is too long",
		`{"type":"network-log","version":2}` + "\n":                                  "the log has version 2 of the format, and this program reads version 1",
		header + "nonsense\n":                                                        "line 2 of the log is broken",
		header + `{"from_ms":5,"to_ms":5}` + "\n":                                    "line 2 of the log is broken",
		header + `{"from_ms":0,"to_ms":1}` + "\n" + `{"from_ms":0,"to_ms":9}` + "\n": "line 3 of the log is broken",
		header + `{"from_ms":0,"to_ms":1,"speed":1}` + "\n":                          "line 2 of the log is broken",
		header + `{"from_ms":0,"to_ms":1,"up":{"queue":-1}}` + "\n":                  "line 2 of the log is broken",
		header + `{"from_ms":0,"to_ms":1,"up":{"delay_p50_ms":1e300}}` + "\n":        "line 2 of the log is broken",
		header + `{"from_ms":0,"to_ms":1e300}` + "\n":                                "line 2 of the log is broken",
	} {
		if _, err := netlog.Read(strings.NewReader(file)); err == nil || err.Error() != want {
			t.Errorf("%.60q: %v, want %s", file, err, want)
		}
	}
}

// A line that is not complete yet is left out.
func TestReadWhileItIsWritten(t *testing.T) {
	r, err := netlog.Read(strings.NewReader(header + `{"from_ms":0,"to_ms":100}` + "\n" + `{"from_ms":100,"to_`))
	if err != nil || len(r.Buckets) != 1 || !r.Cut {
		t.Errorf("%+v, %v", r, err)
	}
}

// What is read as a log, its buckets are one after the other, and written again they are read as the same. Whatever else a
// file is, its error is one line.
func FuzzRead(f *testing.F) {
	for _, lines := range []string{
		"", `{"from_ms":0,"to_ms":100}` + "\n", `{"from_ms":0,"to_ms":1e-3}` + "\n" + `{"from_ms":100,"to_`, "null\n", "\n", `{"from_ms":5,"to_ms":5}` + "\n",
		`{"from_ms":0,"to_ms":100,"up":{"rate_bit_s":768000,"sent_bytes":1500,"sent_packets":1,"bytes":1500,"packets":1,"lost":1,"out":2,"overflowed":3,"early":4,"duplicated":5,` +
			`"reordered":6,"corrupted":7,"queue":8,"delay_p50_ms":1.5,"delay_p99_ms":20},"down":{"rate_bit_s":null}}` + "\n" + `{"from_ms":100,"to_ms":200}` + "\n",
	} {
		f.Add(header + lines)
	}
	f.Add(`{"type":"network-log","version":2}`)
	f.Fuzz(func(t *testing.T, file string) {
		r, err := netlog.Read(strings.NewReader(file))
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("the error has several lines: %v", err)
			}
			return
		}
		var b bytes.Buffer
		to := json.NewEncoder(&b)
		if err := to.Encode(r.Header); err != nil {
			t.Fatal(err)
		}
		at := 0.0
		for _, bucket := range r.Buckets {
			if bucket.From < at || bucket.To <= bucket.From {
				t.Errorf("a bucket goes from %v to %v, after one until %v", bucket.From, bucket.To, at)
			}
			at = bucket.To
			if err := to.Encode(bucket); err != nil {
				t.Fatal(err)
			}
		}
		again, err := netlog.Read(&b)
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		if again.Cut = r.Cut; !reflect.DeepEqual(again, r) {
			t.Errorf("%+v, and written and read again %+v", r, again)
		}
	})
}
