package backends_test

import (
	"crypto/rand"
	"crypto/rsa"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gotimeout/internal/backends"
	"gotimeout/internal/backends/backendtest"
	cachebackend "gotimeout/internal/backends/cache"
	dbbackend "gotimeout/internal/backends/db"
	grpcbackend "gotimeout/internal/backends/grpc"
	httpbackend "gotimeout/internal/backends/http"
	redisbackend "gotimeout/internal/backends/redis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func starters() map[string]func(backends.Options) (*backends.Server, error) {
	return map[string]func(backends.Options) (*backends.Server, error){
		"http":  httpbackend.Start,
		"cache": cachebackend.Start,
		"db":    dbbackend.Start,
		"grpc":  grpcbackend.Start,
		"redis": redisbackend.Start,
	}
}

func TestStartsAndCloses(t *testing.T) {
	for name, from := range starters() {
		t.Run(name, func(t *testing.T) {
			s, err := from(backends.Options{MaxDelay: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if s.Name != name || !strings.HasPrefix(s.Addr, "127.0.0.1:") {
				t.Errorf("Name %q, Addr %q", s.Name, s.Addr)
			}
			idle, err := net.Dial("tcp", s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer idle.Close()
			for range 2 {
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}
			if c, err := net.DialTimeout("tcp", s.Addr, time.Second); err == nil {
				c.Close()
				t.Error("the server accepts a connection after Close")
			}
		})
	}
}

// No start makes a key of RSA: go-mysql makes several by default. A start takes a tenth of the
// time for one key, on each machine.
func TestStartsFast(t *testing.T) {
	start, key := time.Hour, time.Duration(0)
	const rounds = 20 // the time of one key varies by a factor of three
	for range rounds {
		began := time.Now()
		for _, from := range starters() {
			backendtest.Start(t, from, backends.Options{MaxDelay: time.Second})
		}
		start = min(start, time.Since(began))
		began = time.Now()
		if _, err := rsa.GenerateKey(rand.Reader, 2048); err != nil {
			t.Fatal(err)
		}
		key += time.Since(began) / rounds
	}
	if start > key {
		t.Errorf("starting them took %s, and a key of RSA takes %s", start, key)
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		for _, from := range starters() {
			s, err := from(backends.Options{MaxDelay: time.Second})
			if err != nil {
				b.Fatal(err)
			}
			s.Close()
		}
	}
}

func TestParseDelay(t *testing.T) {
	for text, want := range map[string]string{
		"300ms": "300ms", "1.5s": "1.5s", "0": "0s", "0.3": "300ms", "10": "10s", "10s": "10s",
		"":         `bad duration "": write 300ms, 1.5s or plain seconds`,
		"soon":     `bad duration "soon": write 300ms, 1.5s or plain seconds`,
		"-1":       `duration "-1" is negative`,
		"-1e300":   `duration "-1e300" is negative`,
		"-1ms":     `duration "-1ms" is negative`,
		"11":       `duration "11" is over the cap of 10s`,
		"10.001s":  `duration "10.001s" is over the cap of 10s`,
		"1e300":    `duration "1e300" is over the cap of 10s`,
		"NaN":      `duration "NaN" is over the cap of 10s`,
		"Inf":      `duration "Inf" is over the cap of 10s`,
		"1\r\nEND": `bad duration "1\r\nEND": write 300ms, 1.5s or plain seconds`,
	} {
		d, err := backends.ParseDelay(text, 10*time.Second)
		got := d.String()
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("ParseDelay(%q) = %s, want %s", text, got, want)
		}
	}
}

// A delay that a client asks for is within the cap, or it is refused with one line. Written again, it is read as the same.
func FuzzParseDelay(f *testing.F) {
	for _, text := range []string{"300ms", "1.5s", "0.3", "5", "-1", "1e400", "NaN", "Inf", "-Inf", "0x1p-2", "", "soon", "9223372036854775807ns", "1e-30", "300000001us", "1_0", "\n"} {
		f.Add(text, int64(time.Second))
	}
	f.Fuzz(func(t *testing.T, text string, cap int64) {
		longest := time.Duration(max(0, cap))
		d, err := backends.ParseDelay(text, longest)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") || d != 0 {
				t.Errorf("%q: %s, %v", text, d, err)
			}
			return
		}
		if d < 0 || d > longest {
			t.Errorf("%q: %s, of at most %s", text, d, longest)
		}
		if again, err := backends.ParseDelay(d.String(), longest); err != nil || again != d {
			t.Errorf("%q: %s, and read again %s, %v", text, d, again, err)
		}
	})
}
