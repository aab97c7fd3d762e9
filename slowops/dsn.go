package slowops

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// ParseDSN reads a DSN as go-sql-driver does ("user:pass@tcp(host:3306)/db"),
// or a URL as a PaaS hands out ("mysql://user:pass@host:3306/db"). Its errors
// don't repeat the password.
func ParseDSN(text string) (*mysql.Config, error) {
	if strings.Contains(text, "://") && !strings.Contains(text, "tcp(") && !strings.Contains(text, "unix(") {
		return parseURL(text)
	}
	cfg, err := mysql.ParseDSN(text)
	if err == nil && reachable(cfg) {
		return cfg, nil
	}
	const hint = "write user:pass@tcp(host:3306)/db"
	// What the driver quotes may be of a password that it took for something
	// else. Behind the last @ there is none.
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		if _, err := mysql.ParseDSN(text[at+1:]); err != nil {
			return nil, fmt.Errorf("unreadable DSN: %w; %s", err, hint)
		}
	}
	return nil, errors.New("unreadable DSN; " + hint)
}

// reachable tells whether an address can be dialled at all: the driver takes
// what it doesn't understand for the name of a network.
func reachable(cfg *mysql.Config) bool {
	_, _, err := net.SplitHostPort(cfg.Addr)
	return cfg.Net == "unix" || cfg.Net == "tcp" && err == nil
}

func parseURL(text string) (*mysql.Config, error) {
	u, err := url.Parse(text)
	_, rest, _ := strings.Cut(text, "://")
	// A password with a / or ? or # that is not escaped looks like a host.
	end := strings.IndexAny(rest, "/?#")
	if err != nil || end >= 0 && strings.Contains(rest[end:], "@") {
		return nil, errors.New("unreadable URL; write mysql://user:pass@host:3306/db, special characters of the password as %XX")
	}
	if u.Scheme != "mysql" || u.Hostname() == "" {
		return nil, fmt.Errorf("a URL with scheme %q and host %q; write mysql://user:pass@host:3306/db", u.Scheme, u.Hostname())
	}
	params := u.Query()
	params.Del("reconnect") // of Ruby's driver, on some PaaS; ours would set it as a system variable
	addr := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "3306"))
	cfg, err := mysql.ParseDSN("tcp(" + addr + ")/?" + params.Encode()) // with the host, whose name tls=true checks
	if err != nil {
		return nil, fmt.Errorf("unreadable parameters of the mysql:// URL: %w", err)
	}
	cfg.Net, cfg.Addr = "tcp", addr
	cfg.User, cfg.DBName = u.User.Username(), strings.TrimPrefix(u.Path, "/")
	cfg.Passwd, _ = u.User.Password()
	if !reachable(cfg) {
		return nil, fmt.Errorf("unreadable host %q in the mysql:// URL; write mysql://user:pass@host:3306/db", u.Hostname())
	}
	return cfg, nil
}
