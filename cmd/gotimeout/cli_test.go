package main

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"gotimeout/internal/machine"
)

var update = flag.Bool("update", false, "write the golden files")

func TestHelp(t *testing.T) {
	for name, args := range map[string][]string{"help": {"--help"}, "help-serve": {"serve", "--help"}, "help-compare": {"compare", "--help"}, "help-recommend": {"recommend", "--help"}} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
			t.Errorf("%v: exit code %d, stderr %q", args, code, &stderr)
		}
		golden(t, name+".txt", stdout.String())
	}
}

func TestVersion(t *testing.T) {
	want := fmt.Sprintf("gotimeout %s (%s, %s/%s)\n", machine.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, args := range [][]string{{"--version"}, {"serve", "--version"}} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, &stdout, &stderr); code != 0 || stdout.String() != want || stderr.Len() > 0 {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q; want %q", args, code, &stdout, &stderr, want)
		}
	}
}

// golden compares with a file, and what a terminal shows must fit one.
func golden(t *testing.T, name, got string) {
	t.Helper()
	goldenOf(t, name, got)
	for _, line := range strings.Split(got, "\n") {
		if len([]rune(line)) > 80 {
			t.Errorf("%s: wider than 80 columns: %s", name, line)
		}
	}
}

func goldenOf(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update writes it):\n%s", path, got)
	}
}

// Whatever is wrong on the command line or in the environment is told in one
// sentence, before anything starts.
func TestRefusesSettings(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	const listening = "the address to listen on (--addr or GOTIMEOUT_ADDR) "
	for _, test := range []struct {
		args, env []string
		code      int
		want      string
	}{
		{[]string{"--adr=x"}, nil, 2, "unknown flag --adr, did you mean"},
		{[]string{"serv"}, nil, 2, "unexpected argument serv"},
		{[]string{"--max-delay=soon"}, nil, 2, `--max-delay: expected duration but got "soon"`},
		{[]string{"--addr"}, nil, 2, "--addr: "},
		{[]string{"--addr=" + taken.Addr().String()}, nil, 1, "cannot listen on " + taken.Addr().String() + " (address already in use): choose another one with --addr, or PORT"},
		{[]string{"--addr=8000"}, nil, 1, listening + `is "8000", which can't be read`},
		{[]string{"--addr=:http"}, nil, 1, `"http" is no port`},
		{nil, []string{"PORT=seven"}, 1, `PORT is "seven": it must be a number from 0 to 65535`},
		{nil, []string{"PORT=:80"}, 1, `PORT is ":80": it must be a number`},
		{nil, []string{"GOTIMEOUT_ADDR=:70000"}, 1, `"70000" is no port`},
		{[]string{"--http-url=localhost:80"}, nil, 1, `--http-url (HTTPBIN_URL) is "localhost:80", which is no base URL: write http://host:port`},
		{nil, []string{"HTTPBIN_URL=ftp://x"}, 1, "which is no base URL"},
		{nil, []string{"HTTPBIN_URL=http://u:secret@h/%zz"}, 1, "--http-url (HTTPBIN_URL) can't be read: write http://host:port"},
		{nil, []string{"HTTPBIN_URL=http://u:secret@h/?a=b"}, 1, "which is no base URL"},
		{nil, []string{"MEMCACHED_ADDR=cache"}, 1, `--cache-addr (MEMCACHED_ADDR) is "cache"`},
		{nil, []string{"MYSQL_DSN=root:secret@somewhere"}, 1, "--db-dsn (MYSQL_DSN) can't be used: unreadable DSN"},
		{nil, []string{"MYSQL_DSN=postgres://u:secret@h/d"}, 1, "write mysql://user:pass@host:3306/db"},
		{nil, []string{"JAWSDB_URL=mysql://u:sec/ret@h/secret"}, 1, "JAWSDB_URL can't be used: unreadable URL; write mysql://user:pass@host:3306/db"},
		{nil, []string{"DATABASE_URL=mysql://u:secret@/d"}, 1, "DATABASE_URL can't be used: "},
		{nil, []string{"GOTIMEOUT_PUBLIC=perhaps"}, 2, `(from envar GOTIMEOUT_PUBLIC="perhaps")`},
		{[]string{"--trusted-proxies=10.0.0.1"}, nil, 1, `--trusted-proxies (GOTIMEOUT_TRUSTED_PROXIES) has "10.0.0.1", which is no range of addresses: write 10.0.0.0/8`},
		{nil, []string{"GOTIMEOUT_TRUSTED_PROXIES=10.0.0.0/8,*"}, 1, `has "*", which is no range of addresses`},
		{[]string{"--network=5g"}, nil, 1, `--network (GOTIMEOUT_NETWORK): unknown network preset "5g"`},
		{nil, []string{"GOTIMEOUT_NETWORK=delay=100"}, 1, "--network (GOTIMEOUT_NETWORK): "},
		{[]string{"--network=3g", "--network-driver=none"}, nil, 1, "--network-driver none (GOTIMEOUT_NETWORK_DRIVER) makes no network"},
		{[]string{"--network-driver=tc"}, nil, 2, `--network-driver must be one of "auto","netem","tun","proxy","none" but got "tc"`},
		{[]string{"--max-delay=0s"}, nil, 1, "--max-delay is 0s: it must be over 0 and at most 1h"},
		{[]string{"--max-timeout=2h"}, nil, 1, "--max-timeout is 2h0m0s: it must be"},
		{[]string{"--max-in-flight=0"}, nil, 1, "--max-in-flight is 0: it must be at least 1"},
		{[]string{"--max-abandoned=-1"}, nil, 1, "--max-abandoned is -1: it must be at least 1"},
		{[]string{"--receipts=0"}, nil, 1, "--receipts is 0: it must be from 1 to 1000000"},
		{[]string{"--receipts=1000001"}, nil, 1, "--receipts is 1000001: it must be from 1 to 1000000"},
		{[]string{"compare", "--timeout=0"}, nil, 1, "--timeout is 0, which bounds nothing: it must be over 0"},
		{[]string{"compare", "--timeout=soon"}, nil, 2, `--timeout: "soon" is no duration: write 250ms, 1.5s or plain seconds`},
		{[]string{"compare", "--delay=1s,-1s"}, nil, 2, `"-1s" is no duration`},
		{[]string{"compare", "--rate=0"}, nil, 1, "--rate is 0: use 1 to 100000 requests a second"},
		{[]string{"compare", "--duration=1ms"}, nil, 1, "--duration is 1ms: use 100ms to 1h"},
		{[]string{"compare", "--rate=1", "--duration=200ms"}, nil, 1, "is no request at all: raise one of them"},
		{[]string{"compare", "--repeat=101"}, nil, 1, "--repeat is 101: use 1 to 100"},
		{[]string{"compare", "--ctx=def"}, nil, 2, `--ctx must be one of "aware","deaf" but got "def"`},
		{[]string{"compare", "--network=5g"}, nil, 1, `--network: unknown network preset "5g"`},
		{[]string{"compare", "--url=localhost:8000"}, nil, 1, `--url: "localhost:8000" is no URL of a lab: write http://host:port`},
		{[]string{"compare", "--url=http://" + closedPort(t)}, nil, 1, "the lab doesn't answer: "},
		{[]string{"compare", "--strategie=x"}, nil, 2, "unknown flag --strategie, did you mean"},
		{[]string{"--receipts=1e4"}, nil, 2, `--receipts: expected a valid 64 bit int but got "1e4"`},
	} {
		t.Run(strings.Join(append(test.args, test.env...), " "), func(t *testing.T) {
			for _, v := range test.env {
				name, value, _ := strings.Cut(v, "=")
				t.Setenv(name, value)
			}
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), test.args, &stdout, &stderr)
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			last := lines[len(lines)-1]
			if code != test.code || !strings.HasPrefix(last, "gotimeout: ") || !strings.Contains(last, test.want) {
				t.Errorf("exit code %d, %q; want %d, %q", code, last, test.code, test.want)
			}
			if usage := strings.HasPrefix(lines[0], "Usage: gotimeout "); usage != (test.code == 2) || !usage && len(lines) > 1 {
				t.Errorf("usage printed: %v; %q", usage, lines)
			}
			if strings.Contains(stderr.String(), "secret") || stdout.Len() > 0 {
				t.Errorf("stdout %q, stderr %q", &stdout, &stderr)
			}
		})
	}
}
