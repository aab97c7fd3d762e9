package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"gotimeout/internal/golden"
	"gotimeout/internal/machine"
	"gotimeout/internal/prose"
	"gotimeout/internal/results"

	"github.com/alecthomas/kong"
)

var update = golden.Update

// commands returns the arguments of each command in the help, and of their parents.
func commands(t *testing.T) (all [][]string) {
	t.Helper()
	parser, err := newParser(newCLI(), environmentOf(nil))
	if err != nil {
		t.Fatal(err)
	}
	_ = kong.Visit(parser.Model.Node, func(node kong.Visitable, next kong.Next) error {
		if node, ok := node.(*kong.Node); ok {
			all = append(all, strings.Fields(strings.TrimPrefix(node.FullPath(), parser.Model.Name)))
		}
		return next(nil)
	})
	return all
}

// ok runs a command line that must succeed, and returns its output.
func ok(t *testing.T, env []string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), args, environmentOf(env), &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Errorf("%v: exit code %d, stderr %q", args, code, &stderr)
	}
	return stdout.String()
}

func TestHelp(t *testing.T) {
	var all strings.Builder
	for _, command := range commands(t) {
		help := ok(t, nil, append(command, "--help")...)
		fmt.Fprintf(&all, "$ gotimeout %s\n%s\n", strings.Join(append(command, "--help"), " "), help)
		if got := ok(t, nil, append([]string{"help"}, command...)...); got != help {
			t.Errorf("help %v and --help print different texts:\n%s", command, got)
		}
	}
	fitsGolden(t, "help.txt", all.String())
}

// fits checks that a text fits a terminal and uses its width. A line may be wider only if
// it is one word, or one argument of a shell.
func fits(t *testing.T, what, text string, width int) {
	t.Helper()
	widest := 0
	for line := range strings.Lines(text) {
		n := utf8.RuneCountInString(strings.TrimRight(line, "\n"))
		if words := argument.FindAllString(line, -1); n > width && len(words) > 1 {
			t.Errorf("%s is wider than %d columns: %s", what, width, line)
		}
		widest = max(widest, n)
	}
	if widest < min(width, 80)*2/3 {
		t.Errorf("%s has no line of more than %d of %d columns", what, widest, width)
	}
}

func TestFits(t *testing.T) {
	for asked, width := range map[string]int{"40": 40, "60": 60, "80": 80, "200": 200, "": 80, "wide": 80, "5": 40, "1000": 200} {
		env := []string{"COLUMNS=" + asked}
		for _, command := range commands(t) {
			fits(t, fmt.Sprint(command), ok(t, env, append(command, "--help")...), width)
		}
		fits(t, "presets", ok(t, env, "network", "presets"), width)
		var check bytes.Buffer
		if err := printCheck(&check, madeUp(t), width); err != nil {
			t.Error(err)
		}
		fits(t, "a check", check.String(), width)
	}
}

// The scripts of completion make the shells ask the program, which completes commands,
// flags, enums and names.
func TestCompletion(t *testing.T) {
	env := append(os.Environ(), asProgram+"=1")
	output := func(env []string, name string, args ...string) string {
		command := exec.CommandContext(t.Context(), name, args...)
		command.Env = env
		out, err := command.Output()
		if err != nil {
			t.Fatalf("%s %v: %v %s", name, args, err, out)
		}
		return string(out)
	}
	for line, want := range map[string][]string{
		"gotimeout com":                              {"compare", "completion"},
		"gotimeout --ad":                             {"--addr"},
		"gotimeout --network fl":                     {"flaky-wifi"},
		"gotimeout help net":                         {"network"},
		"gotimeout network s":                        {"set", "show"},
		"gotimeout network run fl":                   {"flaky-wifi"},
		"gotimeout network check --driver t":         {"tun"},
		"gotimeout network set fl":                   {"flaky-wifi"},
		"gotimeout compare --strategies con":         {"context-cancel"},
		"gotimeout compare --strategies=con":         {"context-cancel"},
		"gotimeout timewait --only who":              {"who"},
		"gotimeout report --format m":                {"markdown"},
		"gotimeout replay mysql-7":                   {"mysql-731"},
		"gotimeout recommend --ctx ":                 {"aware", "deaf"},
		"gotimeout completion ":                      {"bash", "fish", "zsh"},
		"gotimeout network presets --jso":            {"--json"},
		"gotimeout frobnicate --frobnicate frobnica": nil,
	} {
		got := strings.Fields(output(append(env, "COMP_LINE="+line), os.Args[0]))
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
	for shell, script := range map[string]string{
		"bash": `eval "$(%[1]s completion bash)"; complete -p gotimeout; x="$(complete -p gotimeout)"; x="${x#*-C }"; COMP_LINE="gotimeout repo" eval "${x%% gotimeout}"`,
		"zsh":  `source <(%[1]s completion zsh); print -r -- $_comps[gotimeout]; COMP_LINE="gotimeout repo" %[1]s`,
		"fish": `%[1]s completion fish | source; complete -c gotimeout; complete -C "gotimeout repo"`,
	} {
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				t.Skip(err)
			}
			flags := map[string][]string{"bash": {"--norc", "-c"}, "zsh": {"-f", "-c"}, "fish": {"-N", "-c"}}[shell]
			out := output(env, shell, append(flags, fmt.Sprintf(script, os.Args[0]))...)
			if !strings.HasSuffix(out, "report\n") || strings.Count(out, "\n") != 2 {
				t.Errorf("%s", out)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	want := fmt.Sprintf("gotimeout %s (%s, %s/%s)\n", machine.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, args := range [][]string{{"--version"}, {"serve", "--version"}, {"version"}} {
		if got := ok(t, nil, args...); got != want {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
}

// A short command is over before the garbage collector begins.
func TestStartWithoutGC(t *testing.T) {
	eventually(t, "no collection in a start", func() bool { // on a busy machine one may take longer than the second
		cmd := exec.Command(os.Args[0], "config")
		cmd.Env = append(os.Environ(), asProgram+"=1", "GODEBUG=gctrace=1", "GOGC=")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v, %s", err, out)
		}
		return !strings.Contains(string(out), "gc 1 @")
	})
}

// fitsGolden compares a text with a golden file, and checks that it fits 80 columns.
func fitsGolden(t *testing.T, name, got string) {
	t.Helper()
	golden.Check(t, name, got)
	for _, line := range strings.Split(got, "\n") {
		if len([]rune(line)) > 80 {
			t.Errorf("%s: wider than 80 columns: %s", name, line)
		}
	}
}

// Every bad value of a flag, an argument or the environment gets one sentence and exit
// code 2, before anything starts.
func TestRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	one, missing := recorded(t, "errgroup"), filepath.Join(t.TempDir(), "missing")
	empty, other := filepath.Join(t.TempDir(), "empty"), filepath.Join(t.TempDir(), "other")
	if err := errors.Join(os.WriteFile(empty, nil, 0o600), os.WriteFile(other, []byte("BenchmarkX 1 2 ns/op\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	closed := closedPort(t)
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var links []string
	for _, i := range all {
		links = append(links, i.Name)
	}
	for _, test := range []struct {
		command string // the command whose help the second line names
		args    []string
		env     string
		want    string
	}{
		{"serve", []string{"--adr=x"}, "", `there is no flag "--adr", did you mean --addr?`},
		{"", []string{"serv"}, "", `there is no command "serv", did you mean serve?`},
		{"", []string{"comapre"}, "", `there is no command "comapre", did you mean compare?`},
		{"", []string{"netwrok"}, "", `there is no command "netwrok", did you mean network?`},
		{"", []string{"--addr=:0", "comapre"}, "", `there is no command "comapre", did you mean compare?`},
		{"", []string{""}, "", `there is no command "": use serve, worker, config, compare, atlas, recommend, network, timewait, replay, report, explain, code, help, completion or version`},
		{"network", []string{"network", "chek"}, "", `there is no network command "chek", did you mean check?`},
		{"network", []string{"network"}, "", "network needs a command: run, graph, check, drivers, presets, set, reset or show"},
		{"network", []string{"network", "frobnicate"}, "", `there is no network command "frobnicate": use run, graph, check, drivers, presets, set, reset or show`},
		{"serve", []string{"serve", "foo"}, "", `serve takes no argument "foo"`},
		{"serve", []string{"--addr"}, "", "--addr has no value: write --addr=HOST:PORT"},
		{"serve", []string{"--addr", "--public"}, "", "--addr has no value: write --addr=HOST:PORT"},
		{"serve", []string{"serve", "--addr"}, "", "--addr has no value: write --addr=HOST:PORT"},
		{"serve", []string{"-x"}, "", `there is no flag "-x": the nearest are --help, --addr and --name`},
		{"serve", []string{"--="}, "", `there is no flag "--": the nearest are --help, --addr and --name`},
		{"serve", []string{"--max-delay=soon"}, "", `--max-delay: "soon" is no duration: write 250ms, 1.5s or plain seconds`},
		{"serve", []string{"--max-delay=-1s"}, "", `--max-delay: "-1s" is no duration: write 250ms, 1.5s or plain seconds`},
		{"serve", []string{"--receipts=1e4"}, "", `--receipts is "1e4": write a whole number`},
		{"serve", []string{"--public=perhaps"}, "", `--public (GOTIMEOUT_PUBLIC) is "perhaps": write true or false`},
		{"serve", nil, "GOTIMEOUT_PUBLIC=perhaps", `--public (GOTIMEOUT_PUBLIC) is "perhaps": write true or false`},
		{"serve", nil, "GOTIMEOUT_NETWORK_DRIVER=tc", `--network-driver (GOTIMEOUT_NETWORK_DRIVER) is "tc": use auto, netem, tun, proxy or none`},
		{"serve", []string{"--network-driver=tc"}, "", `--network-driver (GOTIMEOUT_NETWORK_DRIVER) is "tc": use auto, netem, tun, proxy or none`},
		{"serve", []string{"--addr=:0", "compare"}, "", "--addr stands before the command compare, and so is a flag of serve: write flags after the command"},
		{"serve", []string{"--addr=8000"}, "", `the address to listen on (--addr or GOTIMEOUT_ADDR) is "8000", which can't be read (missing port in address): write host:port`},
		{"serve", []string{"--addr=:http"}, "", `the address to listen on (--addr or GOTIMEOUT_ADDR) is ":http", which can't be read ("http" is no port): write host:port`},
		{"serve", nil, "PORT=seven", `PORT is "seven": it must be a number from 0 to 65535`},
		{"serve", nil, "PORT=:80", `PORT is ":80": it must be a number from 0 to 65535`},
		{"serve", nil, "GOTIMEOUT_ADDR=:70000", `the address to listen on (--addr or GOTIMEOUT_ADDR) is ":70000", which can't be read ("70000" is no port): write host:port`},
		{"serve", []string{"--http-url=localhost:80"}, "", `--http-url (HTTPBIN_URL) is "localhost:80", which is no base URL: write http://host:port`},
		{"serve", nil, "HTTPBIN_URL=ftp://x", `--http-url (HTTPBIN_URL) is "ftp://x", which is no base URL: write http://host:port`},
		{"serve", nil, "HTTPBIN_URL=http://u:secret@h/%zz", "--http-url (HTTPBIN_URL) can't be read: write http://host:port"},
		{"serve", nil, "HTTPBIN_URL=http://u:secret@h/?a=b", "--http-url (HTTPBIN_URL) is no base URL: write http://host:port, or http://user:password@host:port, with no query"},
		{"serve", nil, "HTTPBIN_URL=u:secret@h", "--http-url (HTTPBIN_URL) is no base URL: write http://host:port, or http://user:password@host:port, with no query"},
		{"serve", nil, "HTTPBIN_URL=http://h/?q=secret", "--http-url (HTTPBIN_URL) is no base URL: write http://host:port, or http://user:password@host:port, with no query"},
		{"serve", nil, "MEMCACHED_ADDR=u:secret@h", "--cache-addr (MEMCACHED_ADDR) has an @, and a memcached without a login has no user: write host:port, memcached://host:port or unix:/path"},
		{"serve", nil, "MEMCACHED_ADDR=redis://h:1", "--cache-addr (MEMCACHED_ADDR) has a scheme that is not memcached: write host:port, memcached://host:port or unix:/path"},
		{"serve", nil, "MEMCACHED_ADDR=memcached://h/0", "--cache-addr (MEMCACHED_ADDR) is an unreadable memcached:// URL: write host:port, memcached://host:port or unix:/path"},
		{"serve", []string{"--cache-addr=a:1,b:2"}, "", "--cache-addr (MEMCACHED_ADDR) has several hosts, and the op is on one: write host:port, memcached://host:port or unix:/path"},
		{"serve", []string{"--cache-addr=unix:mc.sock"}, "", `--cache-addr (MEMCACHED_ADDR) is "unix:mc.sock", which can't be read: write host:port, memcached://host:port or unix:/path`},
		{"serve", nil, "MEMCACHED_ADDR=cache", `--cache-addr (MEMCACHED_ADDR) is "cache", which can't be read: write host:port, memcached://host:port or unix:/path`},
		{"serve", nil, "MYSQL_DSN=mysql://u:secret@udp(h)/d", `--db-dsn (MYSQL_DSN) can't be used: a URL with scheme "mysql" and host "udp(h)"; write mysql://user:pass@host:3306/db`},
		{"serve", nil, "MYSQL_DSN=u:secret@tcp(a:1,b:2)/d", "--db-dsn (MYSQL_DSN) can't be used: an address of several hosts; name one host, as in user:pass@tcp(host:3306)/db"},
		{"serve", nil, "MYSQL_DSN=u:secret@tcp(h)/d?sslmode=secret", "--db-dsn (MYSQL_DSN) can't be used: unreadable DSN: the value of sslmode is not known: use DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY"},
		{"serve", nil, "DATABASE_URL=mysql://u:secret@h/d?ssl-ca=secret", "DATABASE_URL can't be used: unreadable parameters of the mysql:// URL: the option ssl-ca is not known: demand TLS by tls=true, tls=skip-verify or tls=preferred; or leave it, and name the database by MYSQL_DSN"},
		{"serve", nil, "MYSQL_DSN=root:secret@somewhere", "--db-dsn (MYSQL_DSN) can't be used: unreadable DSN: invalid DSN: missing the slash separating the database name; write user:pass@tcp(host:3306)/db"},
		{"serve", nil, "MYSQL_DSN=postgres://u:secret@h/d", `--db-dsn (MYSQL_DSN) can't be used: a URL with scheme "postgres" and host "h"; write mysql://user:pass@host:3306/db`},
		{"serve", nil, "JAWSDB_URL=mysql://u:sec/ret@h/secret", "JAWSDB_URL can't be used: unreadable URL; write mysql://user:pass@host:3306/db, special characters of the password as %XX; or leave it, and name the database by MYSQL_DSN"},
		{"serve", nil, "DATABASE_URL=mysql://u:secret@/d", `DATABASE_URL can't be used: a URL with scheme "mysql" and host ""; write mysql://user:pass@host:3306/db; or leave it, and name the database by MYSQL_DSN`},
		{"serve", nil, "OTEL_EXPORTER_OTLP_ENDPOINT=nonsense", "OTEL_EXPORTER_OTLP_ENDPOINT is not a URL of a collector: write http://host:port"},
		{"serve", []string{"--host=lab.example:8000"}, "", `--host (GOTIMEOUT_HOST) has "lab.example:8000", which is no name of a host: write lab.example, without a scheme and a port; the lab answers for addresses without it`},
		{"serve", nil, "GOTIMEOUT_HOST=https://lab.example", `--host (GOTIMEOUT_HOST) has "https://lab.example", which is no name of a host: write lab.example, without a scheme and a port; the lab answers for addresses without it`},
		{"worker", []string{"worker", "--nats-url=nats://h:4222", "--max-timeout=0"}, "", "--max-timeout is 0s: it must be over 0 and at most 1h"},
		{"worker", []string{"worker", "--nats-url=nats://h:4222", "--max-delay=1000000h"}, "", "--max-delay is 1000000h0m0s: it must be over 0 and at most 1h"},
		{"serve", []string{"--trusted-proxies=10.0.0.1"}, "", `--trusted-proxies (GOTIMEOUT_TRUSTED_PROXIES) has "10.0.0.1", which is no range of addresses: write 10.0.0.0/8, and several with commas`},
		{"serve", nil, "GOTIMEOUT_TRUSTED_PROXIES=10.0.0.0/8,*", `--trusted-proxies (GOTIMEOUT_TRUSTED_PROXIES) has "*", which is no range of addresses: write 10.0.0.0/8, and several with commas`},
		{"serve", []string{"--network=5g"}, "", `--network (GOTIMEOUT_NETWORK): there is no network preset "5g", did you mean 3g or 4g? (or write keys, as in delay=100ms loss=1%)`},
		{"serve", nil, "GOTIMEOUT_NETWORK=delay=100", "--network (GOTIMEOUT_NETWORK): delay=100: unreadable duration; write a number and its unit, as in 100ms or 1.5s"},
		{"serve", []string{"--network=3g", "--network-driver=none"}, "", "--network-driver none (GOTIMEOUT_NETWORK_DRIVER) makes no network: leave --network out, or choose auto"},
		{"serve", []string{"--max-delay=0s"}, "", "--max-delay is 0s: it must be over 0 and at most 1h"},
		{"serve", []string{"--max-timeout=2h"}, "", "--max-timeout is 2h0m0s: it must be over 0 and at most 1h"},
		{"serve", []string{"--max-in-flight=0"}, "", "--max-in-flight is 0: it must be at least 1"},
		{"serve", []string{"--max-abandoned=-1"}, "", "--max-abandoned is -1: it must be at least 1"},
		{"serve", []string{"--receipts=0"}, "", "--receipts is 0: it must be from 1 to 1000000"},
		{"serve", []string{"--receipts=1000001"}, "", "--receipts is 1000001: it must be from 1 to 1000000"},
		{"serve", []string{"--log-slow=-1s"}, "", `--log-slow: "-1s" is no duration: write 250ms, 1.5s or plain seconds`},
		{"compare", []string{"compare", "extra"}, "", `compare takes no argument "extra"`},
		{"compare", []string{"compare", "--strategie=x"}, "", `there is no flag "--strategie", did you mean --strategies?`},
		{"compare", []string{"compare", "--url"}, "", "--url has no value: write --url=URL"},
		{"compare", []string{"compare", "--delay"}, "", "--delay has no value: write --delay=10ms,10ms,10ms,1s"},
		{"compare", []string{"compare", "--delay=0.0000001ms"}, "", `--delay: "0.0000001ms" is under 1ns: write 0, or 1ns or more`},
		{"serve", []string{"--network=delay=0.0000001ms"}, "", "--network (GOTIMEOUT_NETWORK): delay=0.0000001ms: a duration under 1ns; write 0s for none, or 1ns or more"},
		{"compare", []string{"compare", "--delay="}, "", "--delay is empty: give it a duration, as 1s, or several, as 10ms,1s"},
		{"compare", []string{"compare", "--timeout=0"}, "", "--timeout is 0, which bounds nothing: it must be over 0"},
		{"compare", []string{"compare", "--timeout=soon"}, "", `--timeout: "soon" is no duration: write 250ms, 1.5s or plain seconds`},
		{"compare", []string{"compare", "--delay=1s,-1s"}, "", `--delay: "-1s" is no duration: write 250ms, 1.5s or plain seconds`},
		{"compare", []string{"compare", "--rate=0"}, "", `--rate: "0" is out of range: use 1/h to 100000/s`},
		{"compare", []string{"compare", "--rate=x"}, "", `--rate: "x" is no rate: write 0.5 or 100/s for requests a second, 30/m or 2/h`},
		{"compare", []string{"compare", "--rate=5/d"}, "", `--rate: "5/d" is no rate: write 0.5 or 100/s for requests a second, 30/m or 2/h`},
		{"compare", []string{"compare", "--rate=5/"}, "", `--rate: "5/" is no rate: write 0.5 or 100/s for requests a second, 30/m or 2/h`},
		{"compare", []string{"compare", "--rate=NaN"}, "", `--rate: "NaN" is no rate: write 0.5 or 100/s for requests a second, 30/m or 2/h`},
		{"compare", []string{"compare", "--rate=1e999"}, "", `--rate: "1e999" is out of range: use 1/h to 100000/s`},
		{"compare", []string{"compare", "--rate=-1/s"}, "", `--rate: "-1/s" is out of range: use 1/h to 100000/s`},
		{"compare", []string{"compare", "--rate=0.9/h"}, "", `--rate: "0.9/h" is out of range: use 1/h to 100000/s`},
		{"compare", []string{"compare", "--rate=29/m"}, "", "--rate 29/m for --duration 2s is no request at all: raise one of them"},
		{"compare", []string{"compare", "--duration=1ms"}, "", "--duration is 1ms: use 100ms to 1h"},
		{"compare", []string{"compare", "--rate=1", "--duration=200ms"}, "", "--rate 1/s for --duration 200ms is no request at all: raise one of them"},
		{"compare", []string{"compare", "--repeat=101"}, "", "--repeat is 101: use 1 to 100"},
		{"compare", []string{"compare", "--ctx=def"}, "", `--ctx is "def": use aware or deaf`},
		{"compare", []string{"compare", "--quiet=maybe"}, "", `--quiet is "maybe": write true or false`},
		{"compare", []string{"compare", "--network=5g"}, "", `--network: there is no network preset "5g", did you mean 3g or 4g? (or write keys, as in delay=100ms loss=1%)`},
		{"compare", []string{"compare", "--url=localhost:8000"}, "", `--url: "localhost:8000" is no URL of a lab: write http://host:port`},
		{"compare", []string{"compare", "--emit=k7"}, "", `--emit is "k7": use k6`},
		{"compare", []string{"compare", "--emit=k6", "--out=x"}, "", "--emit runs nothing, and has no results: leave --out and --html out"},
		{"compare", []string{"compare", "--emit=k6", "--strategies=errgrup"}, "", `--strategies: there is no strategy "errgrup", did you mean errgroup?`},
		{"compare", []string{"compare", "--emit=k6", "--fail-if=drain_ms > 1"}, "", "k6 doesn't see drain_ms: write a condition on answered_p50_ms, answered_p99_ms, answered_max_ms, overshoot_p50_ms, overshoot_p99_ms, overshoot_max_ms, completed, timed_out, failed, refused, or leave it to gotimeout compare"},
		{"compare", []string{"compare", "--emit=k6", "--fail-if=overshot_p99_ms > 1"}, "", `--fail-if: there is no column "overshot_p99_ms", did you mean overshoot_p99_ms?`},
		{"compare", []string{"compare", "--emit=k6", "--network=3g", "--network=4g"}, "", "a k6 script sets one network, before it begins: write one script for each --network"},
		{"compare", []string{"compare", "--emit=k6", "--url=lab:80"}, "", `"lab:80" is no URL of a lab: write http://host:port`},
		{"compare", []string{"compare", "--emit=k6", "--repeat=2"}, "", "k6 makes one result of all that a script does: leave --repeat out, and run the script several times"},
		{"recommend", []string{"recommend", "--false-timeouts=x"}, "", `--false-timeouts: "x" is no share: write percent, as 1% or 0.1%`},
		{"recommend", []string{"recommend", "--false-timeouts=0%"}, "", "--false-timeouts: 0% can't be had, as a call may always take longer: use 0.01% to 50%"},
		{"recommend", []string{"recommend", "--false-timeouts=60%"}, "", "--false-timeouts: 60% is out of range: use 0.01% to 50%"},
		{"recommend", []string{"recommend", "--ctx=def"}, "", `--ctx is "def": use aware or deaf`},
		{"recommend", []string{"recommend", "--delay=-1s"}, "", `--delay: "-1s" is no duration: write 250ms, 1.5s or plain seconds`},
		{"recommend", []string{"recommend", "--delay="}, "", "--delay is empty: give it a duration, as 50ms, or several, as 10ms,100ms"},
		{"recommend", []string{"recommend", "--op=http", "extra"}, "", `recommend takes no argument "extra"`},
		{"recommend", []string{"recommend", "--rate=0"}, "", `--rate: "0" is out of range: use 1/h to 100000/s`},
		{"recommend", []string{"recommend", "--requests=-5"}, "", "--requests is -5: the interval of 1% needs at least 368, and a lab keeps at most 400000"},
		{"recommend", []string{"recommend", "--requests=367"}, "", "--requests is 367: the interval of 1% needs at least 368, and a lab keeps at most 400000"},
		{"recommend", []string{"recommend", "--rate=1", "--false-timeouts=0.1%"}, "", "3688 requests at 1/s take longer than an hour: raise --rate or --false-timeouts"},
		{"recommend", []string{"recommend", "--requests=400001"}, "", "--requests is 400001: the interval of 1% needs at least 368, and a lab keeps at most 400000"},
		{"recommend", []string{"recommend", "--strategies=errgroup,baseline"}, "", "--strategies: baseline has no timeout that could be false; it is the sample"},
		{"recommend", []string{"recommend", "--network=5g"}, "", `--network: there is no network preset "5g", did you mean 3g or 4g? (or write keys, as in delay=100ms loss=1%)`},
		{"recommend", []string{"recommend", "--url=localhost:1"}, "", `--url: "localhost:1" is no URL of a lab: write http://host:port`},
		{"recommend", []string{"recommend", "--url=http://127.0.0.1:1/?op=db"}, "", `--url: "http://127.0.0.1:1/?op=db" is no URL of a lab: write http://host:port`},
		{"atlas", []string{"atlas", "--repeat=0"}, "", "--repeat is 0: use 1 to 100"},
		{"atlas", []string{"atlas", "--networks=3g"}, "", `there is no flag "--networks", did you mean --network?`},
		{"atlas", []string{"atlas", "--network=5g"}, "", `--network: there is no network preset "5g", did you mean 3g or 4g? (or write keys, as in delay=100ms loss=1%)`},
		{"atlas", []string{"atlas", "--url=http://127.0.0.1:1", "--db-dsn=u@tcp(h:1)/d"}, "", "--url starts no lab, and the setting MYSQL_DSN is of one: start that lab with it"},
		{"explain", []string{"explain", "wasted"}, "", prose.Unknown("column", "wasted", columnNames()) + "; of the messages that explain knows none has it, see gotimeout explain messages"},
		{"explain", []string{"explain", "the disk is full"}, "", "explain knows no message in this text; gotimeout explain messages prints those that it knows"},
		{"code", []string{"code"}, "", "code needs <strategy>"},
		{"code", []string{"code", "context-cancl"}, "", `<strategy> is "context-cancl": use ` + prose.Or(strategyNames())},
		{"code", []string{"code", "io-timeout", "--op=cpu"}, "", `--op: there is no code of io-timeout for "cpu": use cache, db, grpc, http, postgres or redis`},
		{"network run", []string{"network", "run"}, "", "network run needs <profile> <command> ..."},
		{"network run", []string{"network", "run", "3g"}, "", "network run needs <command> ..."},
		{"network run", []string{"network", "run", "3g", "--"}, "", "there is no command: write it after --, as in gotimeout network run 3g -- make test"},
		{"network run", []string{"network", "run", "3g", "--sed", "5", "--", "true"}, "", `there is no flag "--sed", did you mean --seed?`},
		{"network run", []string{"network", "run", "--sed", "5", "3g", "--", "true"}, "", `there is no flag "--sed", did you mean --seed?`},
		{"network run", []string{"network", "run", "5g", "--", "true"}, "", `there is no network preset "5g", did you mean 3g or 4g? (or write keys, as in delay=100ms loss=1%)`},
		{"network run", []string{"network", "run", "delay=1ms", "los=1%", "--", "true"}, "", `there is no key "los", did you mean loss? (each also with up. or down. before it) (what stands before -- is the profile)`},
		{"network run", []string{"network", "run", "--seed=x", "3g", "--", "true"}, "", `--seed is "x": write a whole number`},
		{"network run", []string{"network", "run", "--outside", "--driver=netem", "3g", "--", "true"}, "", "--outside needs the driver tun: write --driver=tun, or leave --driver out"},
		{"network run", []string{"network", "run", "--reach=10.0.0.5:80", "3g", "--", "true"}, "", `--reach is "10.0.0.5:80": write an address of this machine's loopback and a port, as in 127.0.0.1:8080 or [::1]:8080`},
		{"network run", []string{"network", "run", "--reach=[::1%lo]:80", "3g", "--", "true"}, "", `--reach is "[::1%lo]:80": write an address of this machine's loopback and a port, as in 127.0.0.1:8080 or [::1]:8080`},
		{"network run", []string{"network", "run", "--reach=localhost:80", "--reach=127.0.0.1:80", "3g", "--", "true"}, "", "--reach names 127.0.0.1:80 twice: name each port once"},
		{"network run", []string{"network", "run", "--driver=proxy", "3g", "--", "true"}, "", `--driver is "proxy": use auto, netem or tun`},
		{"network check", []string{"network", "check"}, "", "network check needs <profile> ..."},
		{"network check", []string{"network", "check", "5g"}, "", `there is no network preset "5g", did you mean 3g or 4g? (or write keys, as in delay=100ms loss=1%)`},
		{"network check", []string{"network", "check", "delay=5"}, "", "delay=5: unreadable duration; write a number and its unit, as in 100ms or 1.5s"},
		{"network check", []string{"network", "check", "delay=banana"}, "", "delay=banana: unreadable duration; write a number and its unit, as in 100ms or 1.5s"},
		{"network check", []string{"network", "check", "delay=5ms", "3g"}, "", `"3g" has no value; write it as in delay=100ms, and a preset's name as the first word and the only one`},
		{"network check", []string{"network", "check", "delay=20ms", "--driver=what"}, "", `--driver is "what": use auto, netem, tun or proxy`},
		{"network check", []string{"network", "check", "loss=1%", "--driver=proxy"}, "", "the proxy driver can't lose packets (loss=1%), since a proxy sees none: use netem or tun, or leave loss out"},
		{"network set", []string{"network", "set", "lossy"}, "", "network set needs --dev=LINK"},
		{"network set", []string{"network", "set", "lossy", "--dev"}, "", "--dev has no value: write --dev=LINK"},
		{"network set", []string{"network", "set", "3g", "--dev", "lo", "--dry-run"}, "", "the profile's up and down differ, and on lo netem can't tell which is which: write keys without up. and down., or a preset that has none"},
		{"network set", []string{"network", "set", "lossy", "--dev", "nonesuch", "--dry-run"}, "", "--dev: " + prose.Unknown("link", "nonesuch", links)},
		{"network set", []string{"network", "set", "lossy", "--dev", "lo", "--for=-1s", "--dry-run"}, "", `--for: "-1s" is no duration: write 250ms, 1.5s or plain seconds`},
		{"network set", []string{"network", "set", "delay=9s", "jitter=3s", "--dev", "lo", "--dry-run"}, "", "netem can't vary a delay by more than 2.147483647s, and jitter=3s is asked for: write less, or use the tun driver"},
		{"network set", []string{"network", "set", "loss=9%,burst=2", "duplicate=9%", "--dev", "lo", "--dry-run"}, "", "netem's copies interrupt its bursts of losses: leave out duplicate or burst, or use the tun driver"},
		{"network set", []string{"network", "set", "delay=1", "--dev", "lo", "--dry-run"}, "", "delay=1: unreadable duration; write a number and its unit, as in 100ms or 1.5s"},
		{"network set", []string{"network", "set", "lossy", "--dev", "lo", "delay=1ms", "--dry-run"}, "", `network set takes no argument "delay=1ms"`},
		{"network reset", []string{"network", "reset"}, "", "network reset needs --dev=LINK"},
		{"network reset", []string{"network", "reset", "--dev", "nonesuch"}, "", "--dev: " + prose.Unknown("link", "nonesuch", links)},
		{"network show", []string{"network", "show", "lo"}, "", `network show takes no argument "lo"`},
		{"network drivers", []string{"network", "drivers", "tun"}, "", `network drivers takes no argument "tun"`},
		{"network presets", []string{"network", "presets", "3g"}, "", `network presets takes no argument "3g"`},
		{"timewait", []string{"timewait", "--only=what"}, "", `--only is "what": use who, how-long, churn, ports, restart, linger or myth`},
		{"timewait", []string{"timewait", "--only=who,what"}, "", `--only is "what": use who, how-long, churn, ports, restart, linger or myth`},
		{"timewait", []string{"timewait", "--slow"}, "", `there is no flag "--slow": use --help, --version, --only, --fast or --json`},
		{"timewait", []string{"timewait", "who"}, "", `timewait takes no argument "who"`},
		{"timewait", []string{"timewait", "--only"}, "", "--only has no value: write --only=NAME"},
		{"timewait", []string{"timewait", "--fast=sometimes"}, "", `--fast is "sometimes": write true or false`},
		{"replay", []string{"replay", "mysql-730"}, "", `there is no issue "mysql-730", did you mean mysql-731?`},
		{"replay", []string{"replay", "mysql-731", "--all"}, "", "--all replays every issue: give it without mysql-731"},
		{"report", []string{"report"}, "", "report needs <file> ..."},
		{"report", []string{"report", one, one, one}, "", "3 files: report takes one, or two to compare"},
		{"report", []string{"report", one, one, "--format=html"}, "", "two comparisons are shown as table, markdown, json or csv, not as html"},
		{"report", []string{"report", one, "--format=xml"}, "", `--format is "xml": use table, markdown, json, csv or html`},
		{"", []string{"help", "comapre"}, "", `there is no command "comapre", did you mean compare?`},
		{"network", []string{"help", "network", "chek"}, "", `there is no network command "chek", did you mean check?`},
		{"version", []string{"version", "1"}, "", `version takes no argument "1"`},
		{"completion", []string{"completion"}, "", "completion needs <shell>"},
		{"completion", []string{"completion", "tcsh"}, "", `<shell> is "tcsh": use bash, zsh or fish`},
		{failed, []string{"--addr=127.0.0.1:0", "--data=" + empty}, "", "the directory of the queue (--data, GOTIMEOUT_DATA) can't be used: mkdir " + empty + ": not a directory; name one that this user may write, or leave it out"},
		{failed, []string{"--addr=" + taken.Addr().String()}, "", "cannot listen on " + taken.Addr().String() + " (address already in use): choose another one with --addr, or PORT"},
		{failed, []string{"compare", "--url=http://" + closed}, "", `the lab doesn't answer: Get "http://` + closed + `/lab": dial tcp ` + closed + `: connect: connection refused`},
		{failed, []string{"report", missing}, "", "open " + missing + ": no such file or directory"},
		{failed, []string{"report", empty}, "", empty + ": it is empty, or was cut in its first line: these are no results of gotimeout compare --out"},
		{failed, []string{"report", one, empty}, "", empty + ": it is empty, or was cut in its first line: these are no results of gotimeout compare --out"},
		{failed, []string{"report", other}, "", other + ": line 1 is no record of a run: these are no results of gotimeout compare --out"},
	} {
		t.Run(strings.Join(append(test.args, test.env), " "), func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), test.args, environmentOf([]string{test.env}), &stdout, &stderr)
			want, wantCode := "gotimeout: "+test.want+"\nrun "+strings.TrimSpace("gotimeout "+test.command)+" --help\n", exitUsage
			if test.command == failed {
				want, wantCode = "gotimeout: "+test.want+"\n", exitFailure
			}
			if code != wantCode || stderr.String() != want || stdout.Len() > 0 {
				t.Errorf("exit code %d, stdout %q, stderr\n%swant %d and\n%s", code, &stdout, &stderr, wantCode, want)
			}
		})
	}
}

// failed stands in the place of the command where the command line is valid but the command
// fails: no second line names a help then.
const failed = "-"

// explain finds a column by its name, its title or a part of the title.
func TestExplain(t *testing.T) {
	for asked, want := range map[string][]string{
		"waste":         {"waste (waste_s_per_1000, s/1000)", "Seconds that backends worked for nobody"},
		"overshoot p99": {"overshoot p99 (overshoot_p99_ms, ms)", "99th percentile"},
		"TIME-WAIT":     {"TIME_WAIT (time_wait, a count)", "Less is better"},
		"all":           columnNames(),
	} {
		out, code := programOutput(t, "explain", asked)
		for _, text := range want {
			if code != 0 || !strings.Contains(out, text) {
				t.Errorf("%s: exit code %d, no %q in\n%s", asked, code, text, out)
			}
		}
	}
}

func columnNames() (names []string) {
	for _, c := range results.Columns() {
		names = append(names, c.Name)
	}
	return names
}
