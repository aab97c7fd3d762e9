package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/receipt"
	"gotimeout/internal/telemetry"

	"github.com/go-sql-driver/mysql"
)

// settings is what the bench needs, read and checked.
type settings struct {
	httpURL    *url.URL      // nil for the embedded one
	cacheAddr  string        // "" for the embedded one
	db         *mysql.Config // nil for the embedded one
	notes      []string      // on what a PaaS has set
	maxDelay   time.Duration
	maxTimeout time.Duration
	limits     receipt.Limits
	receipts   int // that are kept
	public     bool
	proxies    []netip.Prefix // in front of it

	network bool // was asked for
	driver  string
	profile badnet.Profile

	collector *telemetry.Collector // of traces; nil for none
}

// read checks the settings. Its errors say which one can't be read, and why.
func (s *serveCmd) read(port string) (addr string, out settings, err error) {
	addr = cmp.Or(s.Addr, "127.0.0.1:8000")
	if s.Addr == "" && port != "" {
		if !isPort(port) {
			return "", out, fmt.Errorf("PORT is %q: it must be a number from 0 to 65535", port)
		}
		addr = ":" + port
	}
	if err := checkAddr(addr); err != nil {
		return "", out, fmt.Errorf("the address to listen on (--addr or GOTIMEOUT_ADDR) %w", err)
	}
	if s.HTTPURL != "" {
		if out.httpURL, err = readURL(s.HTTPURL); err != nil {
			return "", out, fmt.Errorf("--http-url (HTTPBIN_URL) %w", err)
		}
	}
	if s.CacheAddr != "" {
		if err := checkAddr(s.CacheAddr); err != nil {
			return "", out, fmt.Errorf("--cache-addr (MEMCACHED_ADDR) %w", err)
		}
		out.cacheAddr = s.CacheAddr
	}
	if err := s.readDatabase(&out, os.Getenv); err != nil {
		return "", out, err
	}
	if err := s.readNetwork(&out); err != nil {
		return "", out, err
	}
	if err := s.readPublic(&out, port != ""); err != nil {
		return "", out, err
	}
	if out.collector, err = telemetry.ReadCollector(os.Getenv); err != nil {
		return "", out, err
	}
	if s.LogSlow < 0 {
		return "", out, fmt.Errorf("--log-slow is %s: it must be over 0, or 0 to log none", s.LogSlow)
	}
	return addr, out, s.readCaps(&out)
}

func (s *serveCmd) readNetwork(out *settings) (err error) {
	out.driver = s.NetworkDriver
	out.network = s.Network != "" || s.NetworkDriver != badnet.Auto && s.NetworkDriver != badnet.Without
	if s.Network == "" {
		return nil
	}
	if s.NetworkDriver == badnet.Without {
		return errors.New("--network-driver none (GOTIMEOUT_NETWORK_DRIVER) makes no network: leave --network out, or choose auto")
	}
	if out.profile, err = badnet.Parse(s.Network); err != nil {
		return fmt.Errorf("--network (GOTIMEOUT_NETWORK): %w", err)
	}
	return nil
}

func checkAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil && !isPort(port) {
		err = fmt.Errorf("%q is no port", port)
	}
	if err != nil {
		return fmt.Errorf("is %q, which can't be read (%w): write host:port", addr, err)
	}
	return nil
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

func readURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("can't be read: write http://host:port") // not what it is: it may hold a password
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" {
		return nil, fmt.Errorf("is %q, which is no base URL: write http://host:port", u.Redacted())
	}
	return u, nil
}
