package replay

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"regexp"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"gotimeout/internal/backends"
	cachebackend "gotimeout/internal/backends/cache"
)

// Parts that experiments share. None is closed: the process ends with its experiment.

// sec prints a time always in the same unit.
func sec(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// quickest returns the shortest time that f took in three calls: a busy machine makes a time
// longer, never shorter.
func quickest(f func() error) (least time.Duration, err error) {
	for i := range 3 {
		began := time.Now()
		err = f()
		if took := time.Since(began); i == 0 || took < least {
			least = took
		}
	}
	return least, err
}

// within reports whether a channel is closed, or has something, before the time has passed.
func within[T any](d time.Duration, c <-chan T) bool {
	select {
	case <-c:
		return true
	case <-time.After(d):
		return false
	}
}

// closed reports whether a channel is closed.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// when says whether a caller had its answer before the end of a function that it waits for.
func when(ended bool) string {
	if ended {
		return "when"
	}
	return "before"
}

// soon bounds the wait for what should come at once.
const soon = 15 * time.Second

// serve serves HTTP with a server whose handler is set here.
func serve(s *http.Server, handle http.HandlerFunc) (url string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	if s.Handler = handle; s.ErrorLog == nil {
		s.ErrorLog = log.New(io.Discard, "", 0)
	}
	go func() { _ = s.Serve(l) }()
	return "http://" + l.Addr().String(), nil
}

// startCache starts a memcached and returns its client, whose settings are the defaults.
func startCache() (*memcache.Client, error) {
	server, err := cachebackend.Start(backends.Options{MaxDelay: time.Minute})
	if err != nil {
		return nil, err
	}
	return memcache.New(server.Addr), nil
}

// get makes a request and reads the answer. The status is 0 where there was none.
func get(ctx context.Context, c *http.Client, url string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(all), err
}

var addresses = regexp.MustCompile(` ?\d+\.\d+\.\d+\.\d+:\d+(->\d+\.\d+\.\d+\.\d+:\d+)?`)

// withoutAddresses returns the message of an error, whose addresses differ from run to run.
func withoutAddresses(err error) string {
	if err == nil {
		return "no error"
	}
	return addresses.ReplaceAllString(err.Error(), "")
}
