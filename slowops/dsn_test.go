package slowops_test

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"

	dbbackend "gotimeout/internal/backends/db"
	"gotimeout/slowops"

	proto "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/server"
	"github.com/go-sql-driver/mysql"
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
		"URL, zone":        {"mysql://u:p@h/db?loc=Europe/Paris", "u:p@tcp(h:3306)/db?loc=Europe%2FParis"},
		"URL, capitals":    {"MySQL://u:p@h/db", "u:p@tcp(h:3306)/db"},
		"URL, tcp":         {"mysql://u:p@tcp(h:3307)/db", "u:p@tcp(h:3307)/db"},
		"URL, tcp alone":   {"mysql://tcp(h)", "tcp(h:3306)/"},
		"URL, tcp, IPv6":   {"mysql://u:p@tcp([::1]:33)/db?timeout=2s", "u:p@tcp([::1]:33)/db?timeout=2s"},
		"URL, unix":        {"mysql://u:p%40%2F@unix(/run/my.sock)/db", "u:p@/@unix(/run/my.sock)/db"},
		"system variable":  {"u:p@tcp(h)/db?sql_mode=%27ANSI%27", "u:p@tcp(h:3306)/db?sql_mode=%27ANSI%27"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, dropped, err := slowops.ParseDSN(tt.text)
			if dropped != nil {
				t.Errorf("dropped %q", dropped)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := cfg.FormatDSN(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// The certificate must be that of the host that is dialed.
func TestParseDSNChecksTheCertificateOfTheHost(t *testing.T) {
	for _, text := range []string{"u:p@tcp(db.example:3306)/db?tls=true", "mysql://u:p@db.example/db?tls=true"} {
		cfg, _, err := slowops.ParseDSN(text)
		if err != nil {
			t.Fatal(err)
		}
		if cfg.TLS == nil || cfg.TLS.ServerName != "db.example" {
			t.Errorf("%s: checks for %+v", text, cfg.TLS)
		}
	}
}

// The option by which another client demands TLS demands as much here, in a DSN and in a
// URL, and never becomes a system variable.
func TestParseDSNReadsTLS(t *testing.T) {
	for options, want := range map[string]string{
		"ssl-mode=DISABLED": "false", "ssl-mode=PREFERRED": "preferred", "ssl-mode=REQUIRED": "skip-verify",
		"ssl-mode=VERIFY_CA": "true", "ssl-mode=VERIFY_IDENTITY": "true", "ssl_mode=required": "skip-verify",
		"sslmode=disable": "false", "sslmode=allow": "preferred", "sslmode=prefer": "preferred", "sslmode=require": "skip-verify",
		"sslmode=verify-ca": "true", "sslmode=verify-full": "true", "sslMode=REQUIRED": "skip-verify",
		"useSSL=true": "skip-verify", "useSSL=false": "false", "requireSSL=true": "skip-verify", "ssl=true": "skip-verify", "ssl=1": "skip-verify",
		"ssl=%7B%22rejectUnauthorized%22%3A%20true%7D": "true", `ssl={"rejectUnauthorized":false}`: "skip-verify",
		"tls=1": "true", "TLS=Skip-Verify": "skip-verify", "%74ls=true": "true", "ssl%2Dmode=REQUIRED": "skip-verify",
		// The strictest of several options wins.
		"tls=false&ssl-mode=REQUIRED": "skip-verify", "tls=true&useSSL=false": "true", "ssl=true&ssl=false": "skip-verify",
		"useSSL=true&requireSSL=false": "skip-verify", "tls=preferred&sslmode=verify-full&timeout=1s": "true",
	} {
		for _, before := range []string{"u:p@tcp(h:1)/db?", "mysql://u:p@h:1/db?", "mysql://u:p@tcp(h:1)/db?"} {
			cfg, dropped, err := slowops.ParseDSN(before + options)
			if err != nil {
				t.Errorf("%s%s: %v", before, options, err)
				continue
			}
			demanded := want != "false" && cfg.TLS != nil && cfg.TLS.InsecureSkipVerify == (want != "true") && cfg.AllowFallbackToPlaintext == (want == "preferred")
			if cfg.TLSConfig != want || demanded != (want != "false") || len(cfg.Params)+len(dropped) > 0 {
				t.Errorf("%s%s: tls=%s %+v, with %v %q; want %s", before, options, cfg.TLSConfig, cfg.TLS, cfg.Params, dropped, want)
			}
		}
	}
}

// A TLS configuration that the program has registered stays as the program made it.
func TestParseDSNKeepsARegisteredTLS(t *testing.T) {
	if err := mysql.RegisterTLSConfig("ours", &tls.Config{ServerName: "ours.example"}); err != nil {
		t.Fatal(err)
	}
	defer mysql.DeregisterTLSConfig("ours")
	cfg, _, err := slowops.ParseDSN("u:p@tcp(h:1)/db?ssl-mode=REQUIRED&tls=ours")
	if err != nil || cfg.TLS.ServerName != "ours.example" {
		t.Errorf("%+v, %v", cfg, err)
	}
}

// The options of other clients in a URL are named, and never sent to the server.
func TestParseDSNDrops(t *testing.T) {
	cfg, dropped, err := slowops.ParseDSN("mysql://u:p@h/db?reconnect=true&timeout=2s&pool=5&charset=utf8mb4,utf8&sql_mode=ANSI")
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.FormatDSN(); got != "u:p@tcp(h:3306)/db?charset=utf8mb4,utf8&timeout=2s" || !slices.Equal(dropped, []string{"pool", "reconnect", "sql_mode"}) {
		t.Errorf("%s, dropped %q", got, dropped)
	}
}

// A demand of TLS that can't be met is refused, and so is an address that can't be
// dialed. The error names the option or the address.
func TestParseDSNSays(t *testing.T) {
	for text, want := range map[string]string{
		"u:hunter2@tcp(h:1)/db?ssl-mode=hunter2":      "unreadable DSN: the value of ssl-mode is not known: use DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY",
		"mysql://u:hunter2@h/db?ssl-mode=":            "unreadable parameters of the mysql:// URL: the value of ssl-mode is not known: use DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY",
		"mysql://u:hunter2@h/db?ssl-ca=/hunter2":      "unreadable parameters of the mysql:// URL: the option ssl-ca is not known: demand TLS by tls=true, tls=skip-verify or tls=preferred",
		"u:hunter2@tcp(h)/db?sslcert=hunter2":         "unreadable DSN: the option sslcert is not known: demand TLS by tls=true, tls=skip-verify or tls=preferred",
		"u:hunter2@tcp(h)/db?trustServerCertificate=": "unreadable DSN: the option trustServerCertificate is not known: demand TLS by tls=true, tls=skip-verify or tls=preferred",
		"u:hunter2@tcp(h)/db?strict=true":             "unreadable DSN: go-sql-driver has no strict any more: leave strict out, and set sql_mode",
		"mysql://u:hunter2@h/db?strict=true":          "unreadable parameters of the mysql:// URL: go-sql-driver has no strict any more: leave strict out, and set sql_mode",
		"u:hunter2@tcp(a:1,b:2)/db":                   "an address of several hosts; name one host, as in user:pass@tcp(host:3306)/db",
		"mysql://u:hunter2@tcp(a,b)/db":               "an address of several hosts; name one host, as in user:pass@tcp(host:3306)/db",
		"mysql://u:hunter2@a:1,b:2/db":                "an address of several hosts; name one host, as in user:pass@tcp(host:3306)/db",
		"mysql://u:hunter2@udp(h)/db":                 `a URL with scheme "mysql" and host "udp(h)"; write mysql://user:pass@host:3306/db`,
		"postgres://u:hunter2@tcp(h:1)/db":            "",
		"jdbc:mysql://u:hunter2@tcp(h:1)/db":          "",
		"jdbc:mysql://h/db?user=u&password=hunter2":   `a URL with scheme "jdbc" and host ""; write mysql://user:pass@host:3306/db`,
	} {
		_, _, err := slowops.ParseDSN(text)
		if err == nil || want != "" && err.Error() != want || strings.Contains(err.Error(), secret) {
			t.Errorf("%s:\n%v, want\n%s", text, err, want)
		}
	}
}

// Where TLS is demanded there is no login without it.
func TestDSNDemandsTLS(t *testing.T) {
	cert, _ := certificate(t)
	fake := &fakeDB{answer: 1}
	const kind = proto.AUTH_NATIVE_PASSWORD
	start := func(secure *tls.Config) string {
		return serveProtocol(t, fake, server.NewServer("8.0.11", proto.DEFAULT_COLLATION_ID, kind, nil, secure), kind, "")
	}
	plain, secure := start(nil), start(&tls.Config{Certificates: []tls.Certificate{cert}})
	embedded := backend(t, dbbackend.Start, nil)
	for mode, want := range map[string]map[string]string{ // a part of the error, "" where the login succeeds
		"DISABLED":        {plain: "", embedded: "", secure: ""},
		"PREFERRED":       {plain: "", embedded: "", secure: ""},
		"REQUIRED":        {plain: mysql.ErrNoTLS.Error(), embedded: mysql.ErrNoTLS.Error(), secure: ""},
		"VERIFY_CA":       {plain: mysql.ErrNoTLS.Error(), embedded: mysql.ErrNoTLS.Error(), secure: "x509"},
		"VERIFY_IDENTITY": {plain: mysql.ErrNoTLS.Error(), embedded: mysql.ErrNoTLS.Error(), secure: "x509"},
	} {
		for addr, want := range want {
			for _, dsn := range []string{"lab@tcp(" + addr + ")/lab?ssl-mode=", "mysql://lab@" + addr + "/lab?ssl-mode="} {
				err := newMySQL(t, dsn+mode, 0).Do(t.Context(), slowops.Call{IOTimeout: patience})
				if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("%s%s: %v, want %q", dsn, mode, err, want)
				}
			}
		}
	}
}

// The real server reports the cipher of a session.
func TestDSNDemandsTLSOfARealServer(t *testing.T) {
	dsn := realServer(t, "MYSQL_DSN")
	for mode, want := range map[string]bool{"DISABLED": false, "PREFERRED": true, "REQUIRED": true} {
		db, err := newMySQL(t, dsn+"?ssl-mode="+mode, 1).DB()
		if err != nil {
			t.Fatal(err)
		}
		var name, cipher string
		if err := db.QueryRowContext(t.Context(), "SHOW STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher); err != nil {
			t.Fatal(err)
		}
		if (cipher != "") != want {
			t.Errorf("ssl-mode=%s: the cipher is %q", mode, cipher)
		}
	}
	err := newMySQL(t, dsn+"?ssl-mode=VERIFY_CA", 1).Do(t.Context(), slowops.Call{})
	if err == nil || !strings.Contains(err.Error(), "x509") {
		t.Errorf("a certificate that no authority signed: %v", err)
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
	"mysql://user:hunter2@udp(host:3306)/db",
	"mysql://user:hunter2%zz@tcp(host:3306)/db",
	"mysql://user:/hunter2@tcp(host:3306)/db", // unescaped
	"mysql://user:#hunter2@unix(/sock)/db",
	"mysql://user:?sslmode=hunter2@unix(/sock)/db",
	"user:hunter2/x?sslmode=@host",
	"user:p/x?hunter2ssl=@host",
}

func TestParseDSNRefuses(t *testing.T) {
	for _, text := range badDSNs {
		cfg, _, err := slowops.ParseDSN(text)
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

// No error quotes a password that is the secret or contains it. A configuration that
// is accepted stays the same when it is written and read again.
func FuzzParseDSN(f *testing.F) {
	for _, text := range append(badDSNs, "mysql://u:hunter2@[::1]/db?reconnect=true&timeout=1s", "u:hunter2@unix(/s)/d?loc=UTC",
		"mysql://u:hunter2@tcp(h)/d?ssl-mode=REQUIRED", "u:hunter2@tcp(h)/d?useSSL=true&strict=1&tls=x",
		"u:hunter2@n\r/", "mysql://u:hunter2@h/d?ssl%0a=1", "mysql://u:hunter2@h/d?tls=%0a", "u:hunter2@tcp(h)/d?loc=%0d") {
		before, after, _ := strings.Cut(text, secret)
		f.Add(before, after)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		cfg, _, err := slowops.ParseDSN(before + secret + after)
		if err != nil {
			checkSilent(t, before, after, err)
			return
		}
		// The driver's format cannot express these.
		if strings.Contains(cfg.User, ":") || cfg.User == "" && cfg.Passwd != "" {
			return
		}
		sameAgain(t, cfg)
	})
}

func sameAgain(t *testing.T, cfg *mysql.Config) {
	t.Helper()
	text := cfg.FormatDSN()
	again, _, err := slowops.ParseDSN(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if again.FormatDSN() != text || again.User != cfg.User || again.Passwd != cfg.Passwd ||
		again.Net != cfg.Net || again.Addr != cfg.Addr || again.DBName != cfg.DBName {
		t.Errorf("%q is read as %q", text, again.FormatDSN())
	}
}

// No error quotes a password that is the secret or contains it, and each is one line. What is accepted has one host.
func FuzzParsePostgres(f *testing.F) {
	for _, text := range append(badDSNs, "postgres://u:hunter2@[::1]:5433/db?sslmode=require&connect_timeout=5", "postgresql://u:hunter2@h,h2/db", "postgres://u:hunter2@h:1,h:2/d",
		"host=/run/postgresql user=u password=hunter2 dbname=db", "host=a,b password='hunter2 x'", "password=hunter2 port=x", "postgres://u:hunter2%zz@h/d", "postgres://u:hunter2@h/d?sslmode=unheard-of",
		"postgres://u:hunter2@h:99999/d?pool_max_conns=x", "postgres://u:hunter2@/d?host=/run", "password=hunter2\\") {
		before, after, _ := strings.Cut(text, secret)
		f.Add(before, after)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		cfg, err := slowops.ParsePostgres(before + secret + after)
		if err != nil {
			checkSilent(t, before, after, err)
			return
		}
		for _, next := range cfg.ConnConfig.Fallbacks {
			if next.Host != cfg.ConnConfig.Host || next.Port != cfg.ConnConfig.Port {
				t.Errorf("%q: dials %s:%d and %s:%d", before+secret+after, cfg.ConnConfig.Host, cfg.ConnConfig.Port, next.Host, next.Port)
			}
		}
	})
}

// No error quotes a password that is the secret or contains it, and each is one line. What is accepted has one address.
func FuzzParseRedis(f *testing.F) {
	for _, text := range append(badDSNs, "redis://u:hunter2@h:6379/0", "rediss://:hunter2@[::1]/15?dial_timeout=3s&read_timeout=-1", "unix:///run/redis.sock?db=1&password=hunter2", "redis://:hunter2@h/x", "redis://:hunter2@a,b/0",
		"redis://:hunter2@h/0?db=1", "redis://:hunter2@h:port/0", "redis://:hunter2/@h", "redis://h/0?max_retries=hunter2") {
		before, after, _ := strings.Cut(text, secret)
		f.Add(before, after)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		opt, err := slowops.ParseRedis(before + secret + after)
		if err != nil {
			checkSilent(t, before, after, err)
			return
		}
		if opt.Network != "unix" && strings.Contains(opt.Addr, ",") || opt.Network != "unix" && opt.Network != "tcp" {
			t.Errorf("%q: dials %s %q", before+secret+after, opt.Network, opt.Addr)
		}
	})
}

// checkSilent checks the error of an address whose secret, between the texts, is a password.
func checkSilent(t *testing.T, before, after string, err error) {
	t.Helper()
	if strings.ContainsAny(err.Error(), "\r\n") {
		t.Errorf("the error has several lines: %v", err)
	}
	if strings.Contains(before, ":") && strings.Contains(after, "@") && strings.Contains(err.Error(), secret) {
		t.Errorf("the error repeats the password: %v", err)
	}
}
