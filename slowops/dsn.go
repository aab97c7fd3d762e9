package slowops

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/go-sql-driver/mysql"
)

// ParseDSN reads a DSN of go-sql-driver ("user:pass@tcp(host:3306)/db"), a URL as a
// PaaS sets it ("mysql://user:pass@host:3306/db"), or a URL with the address of a DSN,
// as golang-migrate takes it ("mysql://user:pass@unix(/run/mysqld.sock)/db"). In a
// URL the special characters of user, password and database are written as %XX.
//
// The options by which other clients demand TLS (ssl-mode, sslmode, ssl, useSSL and
// requireSSL, in any case) are read as go-sql-driver's tls:
//
//	tls=false        DISABLED, disable, false
//	tls=preferred    PREFERRED, prefer, allow
//	tls=skip-verify  REQUIRED, require, true, {"rejectUnauthorized":false}
//	tls=true         VERIFY_CA, VERIFY_IDENTITY, verify-ca, verify-full, {"rejectUnauthorized":true}
//
// REQUIRED demands TLS and checks no certificate, which is skip-verify. The driver has
// no check of the CA alone, so that VERIFY_CA checks the host's name too. Of several
// options the strictest holds. Another option about TLS or certificates is an error.
//
// An option that go-sql-driver doesn't know is a system variable in a DSN, and the
// driver sets it at each login. A URL may have been written for another client: its
// unknown options are not used, and dropped has their names.
//
// The error never repeats the password, and is one line.
func ParseDSN(text string) (cfg *mysql.Config, dropped []string, err error) {
	cfg, dropped, err = parseDSN(text)
	if err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl) { // the driver's errors quote what they don't know
		err = errors.New("unreadable DSN with a control character; write user:pass@tcp(host:3306)/db")
	}
	return cfg, dropped, err
}

func parseDSN(text string) (cfg *mysql.Config, dropped []string, err error) {
	if scheme.MatchString(text) {
		return parseURL(text)
	}
	at := strings.LastIndexByte(text, '/') + 1
	address, params, _ := strings.Cut(text[at:], "?")
	params, err = readTLS(params)
	if err != nil && !strings.Contains(text[at:], "@") { // with an @, the error may have a part of a password
		return nil, nil, fmt.Errorf("unreadable DSN: %w", err)
	}
	if err == nil {
		cfg, err = mysql.ParseDSN(text[:at] + strings.TrimSuffix(address+"?"+params, "?"))
	}
	switch {
	case err != nil || !reachable(cfg):
		return nil, nil, unreadable(text)
	case hosts(cfg) > 1:
		return nil, nil, errHosts
	}
	return cfg, nil, nil
}

// scheme matches the beginning of a URL, also of JDBC's.
var scheme = regexp.MustCompile(`^(?i:jdbc:)?[A-Za-z][A-Za-z0-9+.-]*://`)

// unreadable returns the error for a DSN that can't be read.
func unreadable(text string) error {
	const hint = "write user:pass@tcp(host:3306)/db"
	// The driver's error may quote a part of the password that the driver took for
	// something else. The text behind the last @ has no password.
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		if _, err := mysql.ParseDSN(text[at+1:]); err != nil {
			return fmt.Errorf("unreadable DSN: %w; %s", err, hint)
		}
	}
	return errors.New("unreadable DSN; " + hint)
}

// reachable reports whether cfg has an address that can be dialed. The driver takes
// a text that it doesn't understand for the name of a network.
func reachable(cfg *mysql.Config) bool {
	_, _, err := net.SplitHostPort(cfg.Addr)
	return cfg.Net == "unix" || cfg.Net == "tcp" && err == nil
}

var errHosts = errors.New("an address of several hosts; name one host, as in user:pass@tcp(host:3306)/db")

func hosts(cfg *mysql.Config) int {
	if cfg.Net == "unix" {
		return 1
	}
	return 1 + strings.Count(cfg.Addr, ",")
}

// addressed matches a URL with the address of a DSN: the text before the address, the
// network, the address, and the text behind it.
var addressed = regexp.MustCompile(`^((?i:mysql)://(?:[^/?#]*@)?)(tcp|unix)\(([^()]*)\)([/?].*|)$`)

func parseURL(text string) (cfg *mysql.Config, dropped []string, err error) {
	const hint = "write mysql://user:pass@host:3306/db"
	network, addr := "tcp", ""
	if parts := addressed.FindStringSubmatch(text); parts != nil {
		network, addr, text = parts[2], parts[3], parts[1]+"host"+parts[4]
	}
	_, rest, _ := strings.Cut(text, "://")
	end := strings.IndexAny(rest+"/", "/?#")
	if strings.Contains(rest[strings.LastIndexByte(rest[:end], '@')+1:end], ",") {
		return nil, nil, errHosts
	}
	u, err := url.Parse(text)
	// An @ in the rest means that the password has a / or ? or # that is not escaped.
	if err != nil || strings.Contains(rest[end:], "@") {
		return nil, nil, errors.New("unreadable URL; " + hint + ", special characters of the password as %XX")
	}
	if u.Scheme != "mysql" || u.Hostname() == "" || strings.ContainsAny(u.Host, "()") {
		return nil, nil, fmt.Errorf("a URL with scheme %q and host %q; %s", u.Scheme, u.Hostname(), hint)
	}
	if addr == "" {
		addr = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "3306"))
	}
	params, err := readTLS(u.RawQuery)
	if err == nil { // with the address, because tls=true checks the certificate for its host
		cfg, err = mysql.ParseDSN(network + "(" + addr + ")/?" + strings.ReplaceAll(params, "/", "%2F"))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("unreadable parameters of the mysql:// URL: %w", err)
	}
	cfg.User, cfg.DBName = u.User.Username(), strings.TrimPrefix(u.Path, "/")
	cfg.Passwd, _ = u.User.Password()
	switch {
	case !reachable(cfg):
		return nil, nil, fmt.Errorf("unreadable host %q in the mysql:// URL; %s", u.Hostname(), hint)
	case hosts(cfg) > 1:
		return nil, nil, errHosts
	}
	dropped, cfg.Params = slices.Sorted(maps.Keys(cfg.Params)), nil
	return cfg, dropped, nil
}

// tlsLevels are the values of go-sql-driver's tls, the strictest last.
var tlsLevels = []string{"false", "preferred", "skip-verify", "true"}

// tlsDemands maps the values of other clients' options, in lower case, to the tls= of
// go-sql-driver that demands as much.
var tlsDemands = map[string]string{
	"disabled": "false", "disable": "false", "false": "false", "0": "false",
	"preferred": "preferred", "prefer": "preferred", "allow": "preferred",
	"required": "skip-verify", "require": "skip-verify", "true": "skip-verify", "1": "skip-verify",
	`{"rejectunauthorized":false}`: "skip-verify",
	"verify_ca":                    "true", "verify_identity": "true", "verify-ca": "true", "verify-full": "true",
	`{"rejectunauthorized":true}`: "true",
}

// readTLS replaces all options about TLS in the parameters of a DSN or a URL by one
// tls=, the strictest. A tls= that names a configuration of the program is stricter than
// all others.
func readTLS(params string) (string, error) {
	var kept []string
	level, registered := -1, false
	for param := range strings.SplitSeq(params, "&") {
		escaped, value, _ := strings.Cut(param, "=")
		name, err := url.QueryUnescape(escaped)
		if err != nil {
			return "", err
		}
		option := strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
		if option == "strict" { // the driver would panic
			return "", errors.New("go-sql-driver has no strict any more: leave strict out, and set sql_mode")
		}
		demand, isTLS := demandOf(option, value)
		switch {
		case option == "tls" && demand < 0:
			kept, registered = append(kept, "tls="+value), true
		case isTLS && demand < 0:
			return "", fmt.Errorf("the value of %s is not known: use DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY", name)
		case !isTLS && aboutTLS.MatchString(option):
			return "", fmt.Errorf("the option %s is not known: demand TLS by tls=true, tls=skip-verify or tls=preferred", name)
		case !isTLS:
			kept = append(kept, param)
		}
		level = max(level, demand)
	}
	if level >= 0 && !registered {
		kept = append(kept, "tls="+tlsLevels[level])
	}
	return strings.Join(kept, "&"), nil
}

var aboutTLS = regexp.MustCompile(`ssl|tls|cert`)

// demandOf returns the index in tlsLevels of an option's demand, -1 for an unknown value,
// and whether the option is about TLS.
func demandOf(option, value string) (level int, isTLS bool) {
	text, err := url.QueryUnescape(value)
	if err != nil {
		text = ""
	}
	text = strings.ReplaceAll(strings.ToLower(text), " ", "")
	switch option {
	case "tls":
		return slices.Index(tlsLevels, cmp.Or(map[string]string{"0": "false", "1": "true"}[text], text)), true
	case "sslmode", "ssl", "usessl", "requiressl":
		return slices.Index(tlsLevels, tlsDemands[text]), true
	}
	return -1, false
}
