package badnet_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/badnet"
)

// trace writes a trace, and returns its file.
func trace(t testing.TB, lines ...int) string {
	t.Helper()
	return written(t, strings.Trim(strings.ReplaceAll(fmt.Sprint(lines), " ", "\n"), "[]")+"\n")
}

func written(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "trace")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// traced returns a Shaper of a profile with that trace.
func traced(t testing.TB, words string, lines ...int) *badnet.Shaper {
	t.Helper()
	p, err := badnet.ParseWithFiles("trace=" + trace(t, lines...) + " " + words)
	if err != nil {
		t.Fatal(err)
	}
	return badnet.NewShaper(p.Up, seed)
}

func TestTraceReleases(t *testing.T) {
	for name, test := range map[string]struct {
		words string
		lines []int
		do    func(s *badnet.Shaper) string
		want  string
	}{
		"a full packet each":     {"", []int{5, 7, 20}, func(s *badnet.Shaper) string { return sends(s, 0, 1500, 4) }, "5ms 7ms 20ms 25ms"},
		"twice in a millisecond": {"", []int{5, 5, 20}, func(s *badnet.Shaper) string { return sends(s, 0, 1500, 3) }, "5ms 5ms 20ms"},
		"small ones share":       {"", []int{5, 20}, func(s *badnet.Shaper) string { return sends(s, 0, 500, 4) }, "5ms 5ms 5ms 20ms"},
		"a packet spans two":     {"", []int{5, 20}, func(s *badnet.Shaper) string { return sends(s, 0, 1000, 3) }, "5ms 20ms 20ms"},
		"a large packet":         {"", []int{5, 6, 20}, func(s *badnet.Shaper) string { return sends(s, 0, 4000, 2) }, "20ms 40ms"},
		"an unused one is lost": {"", []int{5, 20}, func(s *badnet.Shaper) string {
			return send(s, 0, 9) + " " + send(s, 6*ms, 9) + " " + send(s, 5*time.Second, 9)
		}, "5ms 20ms 5.005s"},
		"what is left is lost":   {"", []int{5, 20}, func(s *badnet.Shaper) string { return send(s, 0, 9) + " " + send(s, 5*ms, 9) }, "5ms 20ms"},
		"none at the very start": {"", []int{0, 5}, func(s *badnet.Shaper) string { return sends(s, 0, 1500, 4) }, "5ms 5ms 10ms 10ms"},
		"one in the middle of a turn": {"", []int{3, 5}, func(s *badnet.Shaper) string {
			return send(s, 0, 9) + " " + send(s, 12*ms, 1500) + " " + send(s, 12*ms, 1500)
		}, "3ms 13ms 15ms"},
		"exactly at its end": {"", []int{0, 3, 5}, func(s *badnet.Shaper) string { return send(s, 0, 9) + " " + send(s, 10*ms, 1500) }, "3ms 13ms"},
		"a delay behind it":  {"delay=1s", []int{5}, func(s *badnet.Shaper) string { return sends(s, 0, 1500, 2) }, "1.005s 1.01s"},
		"a limit":            {"limit=2", []int{5}, func(s *badnet.Shaper) string { return sends(s, 0, 1500, 3) + " " + send(s, 5*ms, 1500) }, "5ms 10ms - 15ms"},
	} {
		check(t, name, test.do(traced(t, test.words, test.lines...)), test.want)
	}
}

// mahimahi's link, written plainly: at each opportunity up to 1500 bytes of the packets
// that wait are delivered.
func replay(lines []int, arrivals []time.Duration, sizes []int) (delivered []time.Duration) {
	waiting, arrived := []int{}, 0
	for turn := 0; len(delivered) < len(sizes); turn++ {
		for _, line := range lines {
			now := time.Duration(turn*lines[len(lines)-1]+line) * ms
			for arrived < len(sizes) && arrivals[arrived] < now {
				waiting = append(waiting, sizes[arrived])
				arrived++
			}
			for left := 1500; left > 0 && len(waiting) > 0; {
				taken := min(left, waiting[0])
				left -= taken
				if waiting[0] -= taken; waiting[0] == 0 {
					waiting = waiting[1:]
					delivered = append(delivered, now)
				}
			}
		}
	}
	return delivered
}

// Any packets over any trace are delivered as mahimahi delivers them, to the nanosecond.
func TestTraceIsMahimahis(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		lines := make([]int, 1+r.IntN(40))
		at := 0
		for i := range lines {
			at += r.IntN(30) * r.IntN(2)
			lines[i] = at
		}
		lines[len(lines)-1]++
		var arrivals []time.Duration
		var sizes []int
		now := time.Duration(0)
		for range 300 {
			arrivals = append(arrivals, now)
			sizes = append(sizes, 1+r.IntN(1500))
			now += time.Duration(r.IntN(40)*r.IntN(2)) * ms / 2
		}
		s, want := traced(t, "", lines...), replay(lines, arrivals, sizes)
		for i := range sizes {
			if got := send(s, arrivals[i], sizes[i]); got != want[i].String() {
				t.Fatalf("trace %v, packet %d of %d bytes, sent at %s: %s, want %s", lines, i, sizes[i], arrivals[i], got, want[i])
			}
		}
	}
}

// A link that is never idle delivers all the bytes of its trace.
func TestTraceDeliversItsBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var lines []int
	for ms := 0; ms < 700; ms++ { // idle, slow and fast
		for range r.IntN(4) * (ms / 100 % 2) {
			lines = append(lines, ms)
		}
	}
	lines = append(lines, 700)
	s := traced(t, "", lines...)
	bytes, until := 0, start.Add(10*time.Second)
	for now := start; now.Before(until); now = now.Add(ms / 4) {
		for _, release := range s.Send(nil, now, 1400) {
			if release.Before(until) {
				bytes += 1400
			}
		}
	}
	want := float64(len(lines)) * 1500 * 10_000 / 700
	checkNear(t, "bytes in ten seconds", float64(bytes), want, 0.01*want)
}

func TestTraceIsReadAgain(t *testing.T) {
	name := trace(t, 1, 1, 2)
	text := "delay=10ms down.trace=" + name
	p, err := badnet.ParseWithFiles("down.trace=" + name + " delay=10ms")
	if err != nil {
		t.Fatal(err)
	}
	check(t, "text", p.String(), text)
	again, err := badnet.ParseWithFiles(p.String())
	if err != nil || again != p {
		t.Errorf("read again as %+v, %v", again, err)
	}
	if rate := p.Down.MeanRate(); rate != 18_000_000 {
		t.Errorf("%d bit/s in 3 times 1500 bytes each 2 ms", rate)
	}
	if p, err := badnet.ParseWithFiles("3g rate=none trace=none"); err != nil || p.String() != "delay=150ms" {
		t.Errorf("%s, %v", p, err)
	}
}

func TestTraceRefused(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for text, want := range map[string]string{
		"":           "the trace FILE is empty; write a line for each 1500 bytes that the link delivers, with the millisecond of their delivery",
		"\n \n":      "the trace FILE is empty; write a line for each 1500 bytes that the link delivers, with the millisecond of their delivery",
		"0\n0\n":     "the trace FILE ends at 0 ms, and can't repeat; write a last line of 1 or more",
		"1\n5\n4\n":  "line 3 of the trace FILE goes back from 5 ms to 4 ms; write the lines in the order of their times",
		"1\n\n4\n":   `line 2 of the trace FILE is ""; write a whole number of milliseconds`,
		"1.5\n":      `line 1 of the trace FILE is "1.5"; write a whole number of milliseconds`,
		"4294967295": `line 1 of the trace FILE is "4294967295"; write a whole number of milliseconds`,
	} {
		name := written(t, text)
		_, err := badnet.ParseWithFiles("up.trace=" + name)
		if err == nil {
			t.Errorf("%q is taken as a trace", text)
			continue
		}
		check(t, text, strings.ReplaceAll(err.Error(), name, "FILE"), want)
	}
	for text, want := range map[string]string{
		"up.trace=" + missing:                     "the trace can't be read: open " + missing + ": no such file or directory",
		"up.trace=":                               "up.trace=: a trace is a file; write its name, as in down.trace=lte.down",
		"rate=1mbit down.trace=" + trace(t, 1):    "down: rate=1mbit and trace=FILE, and a trace is a rate; leave one out, or write rate=none",
		"3g trace=" + trace(t, 1) + " rate=1mbit": "rate=1mbit and trace=FILE, and a trace is a rate; leave one out, or write rate=none",
		"trace=none trace=" + trace(t, 1):         "trace is there twice; write it once",
	} {
		_, err := badnet.ParseWithFiles(text)
		if err == nil {
			t.Errorf("%q is taken", text)
			continue
		}
		got := err.Error()
		for _, word := range strings.Fields(text) {
			if _, name, ok := strings.Cut(word, "trace="); ok && name != "" && name != missing {
				got = strings.ReplaceAll(got, name, "FILE")
			}
		}
		check(t, text, got, want)
	}
}

// Parse opens no file: a file that is there and one that isn't get the same answer.
func TestParseOpensNoFile(t *testing.T) {
	const want = "a trace is a file, which only the command line may name: network run, network check and serve --network"
	for _, name := range []string{trace(t, 1), "/missing", "/dev/zero"} {
		if _, err := badnet.Parse("up.trace=" + name); err == nil || err.Error() != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is read as a trace is one: its lines are in order and its end is after its start, so that it has a rate. Written again,
// it is read as the same. Packets are delivered in their order, and each after it was sent.
func FuzzTrace(f *testing.F) {
	for _, text := range []string{"5\n5\n20\n", "0\n1", "0\n", "", " 7 \r\n\t9\r\n\n", "4294967294", "4294967295", "3\n2\n", "1\n\n2\n", "1 2", "+1", "0x1", "\xef\xbb\xbf1", strings.Repeat("1\n", 300)} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		read, times, err := badnet.ParseTrace(text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("%q: the error has several lines: %v", text, err)
			}
			return
		}
		if !slices.IsSorted(times) || times[len(times)-1] < 1 || read.Rate() < 1 {
			t.Errorf("%q: read as %v, %d bit/s", text, times, read.Rate())
		}
		again, same, err := badnet.ParseTrace([]byte(strings.Trim(strings.ReplaceAll(fmt.Sprint(times), " ", "\n"), "[]")))
		if err != nil || again != read || !slices.Equal(same, times) {
			t.Errorf("%q: read as %v, and written and read again as %v, %v", text, times, same, err)
		}
		s := badnet.NewShaper(badnet.Link{Trace: read}, seed)
		for now, last := start, start; now.Before(start.Add(4 * ms)); now = now.Add(ms) {
			for _, release := range s.Send(nil, now, 1000) {
				if release.Before(now) || release.Before(last) {
					t.Fatalf("%q: sent at %s after one that is released at %s, and released at %s", text, now, last, release)
				}
				last = release
			}
		}
	})
}
