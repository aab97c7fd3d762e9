package slowops_test

import (
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"gotimeout/slowops"
)

func TestParseDSN(t *testing.T) {
	for name, tt := range map[string]struct {
		text, want string // as FormatDSN writes it
	}{
		"driver's":         {"u:p@tcp(h:3307)/db", "u:p@tcp(h:3307)/db"},
		"default port":     {"u:p@tcp(h)/db", "u:p@tcp(h:3306)/db"},
		"socket":           {"u:p@unix(/run/my.sock)/db", "u:p@unix(/run/my.sock)/db"},
		"parameters":       {"u@tcp(h:1)/db?timeout=2s", "u@tcp(h:1)/db?timeout=2s"},
		"odd password":     {"u:a@b/c:d?e@tcp(h:1)/db", "u:a@b/c:d?e@tcp(h:1)/db"},
		"like a URL":       {"u:a://b@tcp(h:1)/db", "u:a://b@tcp(h:1)/db"},
		"nothing":          {"", "tcp(127.0.0.1:3306)/"},
		"URL":              {"mysql://u:p@h:3307/db", "u:p@tcp(h:3307)/db"},
		"URL without port": {"mysql://u:p@h/db", "u:p@tcp(h:3306)/db"},
		"URL without db":   {"mysql://u:p@h", "u:p@tcp(h:3306)/"},
		"URL without user": {"mysql://h/db", "tcp(h:3306)/db"},
		"URL, IPv6":        {"mysql://u:p@[::1]/db", "u:p@tcp([::1]:3306)/db"},
		"URL, IPv6 port":   {"mysql://u:p@[fe80::2]:33/db", "u:p@tcp([fe80::2]:33)/db"},
		"URL, escaped":     {"mysql://u%40x:p%40%2F%3A%23%25@h/a%20b", "u@x:p@/:#%@tcp(h:3306)/a%20b"},
		"URL, parameters":  {"mysql://u:p@h/db?timeout=2s&sql_mode=%27ANSI%27", "u:p@tcp(h:3306)/db?timeout=2s&sql_mode=%27ANSI%27"},
		"URL, reconnect":   {"mysql://u:p@h/db?reconnect=true", "u:p@tcp(h:3306)/db"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := slowops.ParseDSN(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := cfg.FormatDSN(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// A certificate is to be of the host that is dialed.
func TestParseDSNChecksTheCertificateOfTheHost(t *testing.T) {
	for _, text := range []string{"u:p@tcp(db.example:3306)/db?tls=true", "mysql://u:p@db.example/db?tls=true"} {
		cfg, err := slowops.ParseDSN(text)
		if err != nil {
			t.Fatal(err)
		}
		if cfg.TLS == nil || cfg.TLS.ServerName != "db.example" {
			t.Errorf("%s: checks for %+v", text, cfg.TLS)
		}
	}
}

const secret = "hunter2"

var badDSNs = []string{
	"user:hunter2",
	"user:hunter2@",
	"user:hunter2@host",
	"user:hunter2@host/db",
	"user:hunter2@host:3306/db",
	"user:hunter2@tcp(host:3306)",
	"user:hunter2@tcp(host:3306/db",
	"user:hunter2@udp(host:3306)/db",
	"user:hunter2@tcp(]:3306)/db",
	"user:hunter2@tcp(host:3306)/db?tls=unheard-of",
	"user:hunter2@tcp(host:3306)/db?parseTime=perhaps",
	"user:hunter2@tcp(host:3306)/%zz",
	"user:hunter2/db", // the @ is missing
	"user:hunter2tcp(host)/db",
	"user:p/hunter2@tcp(host)",
	"user:p/hunter2%zz@tcp(host)",
	"user:p/a?tls=hunter2@tcp(host)",
	"mysql://user:hunter2@host:port/db",
	"mysql://user:hunter2@/db",
	"mysql://user:hunter2@]/db",
	"mysql://user:hunter2@host/db?tls=unheard-of",
	"mysql://user:hunter2%zz@host/db",
	"mysql://user:#hunter2@host/db", // unescaped
	"mysql://user:1#hunter2@host/db",
	"postgres://user:p@hunter2#word@host/db",
	"mysql://user:1?hunter2@host/db",
	"mysql://user:1?tls=hunter2@host/db",
	"mysql://user:1/hunter2@host/db",
	"mysql://user:hunter2 @host/db",
	"postgres://user:hunter2@host/db",
	"://user:hunter2@host/db",
}

func TestParseDSNRefuses(t *testing.T) {
	for _, text := range badDSNs {
		cfg, err := slowops.ParseDSN(text)
		if err == nil {
			t.Errorf("%s: accepted as %+v", text, cfg)
			continue
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error repeats the password: %v", text, err)
		}
		if !strings.Contains(err.Error(), "user:pass@") && !strings.Contains(err.Error(), "parameters") {
			t.Errorf("%s: the error doesn't say what to write: %v", text, err)
		}
	}
}

// A text with the secret for a password, or in it, never comes back in an
// error; and what is accepted is the same when written and read again.
func FuzzParseDSN(f *testing.F) {
	for _, text := range append(badDSNs, "mysql://u:hunter2@[::1]/db?reconnect=true&timeout=1s", "u:hunter2@unix(/s)/d?loc=UTC") {
		before, after, _ := strings.Cut(text, secret)
		f.Add(before, after)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		cfg, err := slowops.ParseDSN(before + secret + after)
		if err != nil {
			if strings.Contains(before, ":") && strings.Contains(after, "@") && strings.Contains(err.Error(), secret) {
				t.Errorf("the error repeats the password: %v", err)
			}
			return
		}
		// The driver's form has no way to write these.
		if strings.Contains(cfg.User, ":") || cfg.User == "" && cfg.Passwd != "" {
			return
		}
		sameAgain(t, cfg)
	})
}

func sameAgain(t *testing.T, cfg *mysql.Config) {
	t.Helper()
	text := cfg.FormatDSN()
	again, err := slowops.ParseDSN(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if again.FormatDSN() != text || again.User != cfg.User || again.Passwd != cfg.Passwd ||
		again.Net != cfg.Net || again.Addr != cfg.Addr || again.DBName != cfg.DBName {
		t.Errorf("%q is read as %q", text, again.FormatDSN())
	}
}
