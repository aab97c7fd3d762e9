package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// envFileWith writes a file of variables.
func envFileWith(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "lab.env")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// configured returns the settings and the notes that config prints.
func configured(t *testing.T, env []string, args ...string) (all map[string]setting, notes []string) {
	t.Helper()
	var answer struct {
		Settings []setting
		Notes    []string
	}
	if err := json.Unmarshal([]byte(ok(t, env, append([]string{"config", "--json"}, args...)...)), &answer); err != nil {
		t.Fatal(err)
	}
	all = map[string]setting{}
	for _, s := range answer.Settings {
		all[s.Name] = s
	}
	return all, answer.Notes
}

// Each setting has the value of serve, and the source of the value. A flag wins over the
// environment, the environment over the file, and a PaaS over the default.
func TestConfigSaysWhereFrom(t *testing.T) {
	file := envFileWith(t, "MYSQL_DSN=u:secret@tcp(h:1)/d\nMEMCACHED_ADDR=h:2\nGOTIMEOUT_NETWORK=3g\nGOTIMEOUT_TOKEN=secret\nPORT=81\n")
	env := []string{"MEMCACHED_ADDR=h:3", "HTTPBIN_URL=http://u:secret@h:4/x", "GOTIMEOUT_NETWORK=4g",
		"OTEL_EXPORTER_OTLP_HEADERS=k=secret", "OTEL_EXPORTER_OTLP_ENDPOINT=http://u:secret@c:5"}
	all, notes := configured(t, env, "--env-file="+file, "--network=lossy", "--max-delay=2", "--host=a,b")
	for name, want := range map[string]setting{
		"--env-file":                          {Value: &file, From: fromFlag},
		"--addr":                              {Value: new(":81"), From: fromAddon, Variable: "PORT"},
		"--http-url":                          {Value: new("http://***@h:4/x"), From: fromEnvironment, Variable: "HTTPBIN_URL"},
		"--cache-addr":                        {Value: new("h:3"), From: fromEnvironment, Variable: "MEMCACHED_ADDR"},
		"--db-dsn":                            {Value: new("u:***@tcp(h:1)/d"), From: fromFile, Variable: "MYSQL_DSN"},
		"--network":                           {Value: new("lossy"), From: fromFlag},
		"--network-driver":                    {Value: new("auto"), From: fromDefault},
		"--max-delay":                         {Value: new("2s"), From: fromFlag},
		"--max-timeout":                       {Value: new("10s"), From: fromDefault}, // the default of a public lab
		"--public":                            {Value: new("true"), From: fromAddon, Variable: "PORT"},
		"--host":                              {Value: new("a,b"), From: fromFlag},
		"--trusted-proxies":                   {From: fromDefault},
		"--log-slow":                          {Value: new("1s"), From: fromDefault},
		"$GOTIMEOUT_TOKEN":                    {Value: new("***"), From: fromFile},
		"$OTEL_EXPORTER_OTLP_HEADERS":         {Value: new("***"), From: fromEnvironment},
		"$OTEL_EXPORTER_OTLP_ENDPOINT":        {Value: new("http://***@c:5"), From: fromEnvironment},
		"$OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": {From: fromDefault},
	} {
		got, there := all[name]
		if value := func(s setting) string { return strings.Trim(string(asJSON(t, s.Value)), `"`) }; !there ||
			value(got) != value(want) || got.From != want.From || got.Variable != want.Variable {
			t.Errorf("%s: %s from %s %s, want %s from %s %s", name, value(got), got.From, got.Variable, value(want), want.From, want.Variable)
		}
	}
	if len(notes) > 0 {
		t.Errorf("notes %q", notes)
	}
	// config names the add-on that is used, and not the add-on that is ignored.
	all, notes = configured(t, []string{"JAWSDB_URL=postgres://secret@x", "DATABASE_URL=mysql://u:secret@h/d?pool=5"})
	if s := all["--db-dsn"]; *s.Value != "u:***@tcp(h:3306)/d" || s.From != fromAddon || s.Variable != "DATABASE_URL" || len(notes) != 3 {
		t.Errorf("%+v %q", s, notes)
	}
}

func asJSON(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Every flag of serve has a line, also a flag that is added later. The lines fit every
// terminal, and have no secret.
func TestConfigTable(t *testing.T) {
	parser, err := newParser(newCLI(), environmentOf(nil))
	if err != nil {
		t.Fatal(err)
	}
	serve := slices.IndexFunc(parser.Model.Children, func(n *kong.Node) bool { return n.Name == "serve" })
	file := envFileWith(t, "GOTIMEOUT_TOKEN=hunter2\n")
	for width := 40; width <= 200; width += 8 {
		env := []string{"COLUMNS=" + strconv.Itoa(width), "HTTPBIN_URL=http://u:hunter2@h:4", "JAWSDB_URL=mysql://u:hunter2@" + strings.Repeat("a", 100) + "/d?x=hunter2",
			"OTEL_EXPORTER_OTLP_HEADERS=k=hunter2", "OTEL_EXPORTER_OTLP_ENDPOINT=http://hunter2@c:5"}
		text := ok(t, env, "config", "--env-file="+file, "--trusted-proxies=10.0.0.0/8,fd00::/8")
		for line := range strings.Lines(text) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > width {
				t.Errorf("%d columns of %d: %s", n, width, line)
			}
		}
		for _, flag := range parser.Model.Children[serve].Flags {
			if !strings.Contains(text, "--"+flag.Name) {
				t.Errorf("--%s is not shown", flag.Name)
			}
		}
		if strings.Contains(text, "hunter2") || !strings.Contains(strings.Join(strings.Fields(text), ""), "u:***@tcp("+strings.Repeat("a", 100)+":3306)/d(PaaS$JAWSDB_URL)") {
			t.Errorf("%s", text)
		}
	}
}

// config refuses a bad setting as serve does.
func TestConfigRefuses(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"config"}, environmentOf([]string{"MEMCACHED_ADDR=h"}), &stdout, &stderr)
	want := "gotimeout: --cache-addr (MEMCACHED_ADDR) is \"h\", which can't be read: write host:port, memcached://host:port or unix:/path\nrun gotimeout config --help\n"
	if code != exitUsage || stderr.String() != want || stdout.Len() > 0 {
		t.Errorf("%d %q %q", code, &stdout, &stderr)
	}
}

// A file is read as docker and compose read it, except that a $ is an ordinary character.
func TestEnvFile(t *testing.T) {
	for text, want := range map[string]string{
		"A=b":                                "b",
		" A = b \r\n":                        "b",
		"export A=b":                         "b",
		"A=":                                 "",
		"A=b c":                              "b c",
		"A=b # a comment":                    "b",
		"A=b#c":                              "b#c",
		"A= # a comment":                     "",
		"A='b # c' # d":                      "b # c",
		`A='b\n"'`:                           `b\n"`,
		`A="b\n\"\\c'"`:                      "b\n\"\\c'",
		`A="a\\n"`:                           `a\n`,
		"A=u:p$x${y}@tcp(h)/d?a=b":           "u:p$x${y}@tcp(h)/d?a=b",
		"# no\n\n\ufeff# no\nA=b":            "error",
		"\ufeffA=b\n":                        "b",
		"A=a\n#A=c\nA=b\n":                   "b",
		"B=secret\nsecret\n":                 "error 2",
		"\n\nA='secret\n":                    "error 3",
		`A="secret\"`:                        "error 1",
		"A='secret'secret":                   "error 1",
		"1A=secret":                          "error 1",
		"=secret":                            "error 1",
		"A B=secret":                         "error 1",
		strings.Repeat("#\n", 1<<20/2) + "#": "error",
	} {
		path := envFileWith(t, text)
		var file envFile
		err := file.UnmarshalText([]byte(path))
		number, refused := strings.CutPrefix(want, "error")
		switch {
		case !refused && (err != nil || file.values["A"] != want):
			t.Errorf("%q: %q, %v; want %q", text, file.values["A"], err, want)
		case refused && (err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), strings.TrimSpace(number)) || number != "" && !strings.Contains(err.Error(), "line"+number)):
			t.Errorf("%.50q: %v, want %s", text, err, want)
		}
	}
}

// serve uses the variables of the file, and so does a lab that compare starts.
func TestEnvFileCounts(t *testing.T) {
	file := envFileWith(t, "MEMCACHED_ADDR=redis://secret\n")
	for _, command := range []string{"serve", "compare", "recommend"} {
		cmd := exec.Command(os.Args[0], command, "--env-file="+file)
		cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0")
		said, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != exitUsage || !bytes.Contains(said, []byte("--cache-addr (MEMCACHED_ADDR) has a scheme that is not memcached")) || bytes.Contains(said, []byte("secret")) {
			t.Errorf("%s: %s %s", command, cmd.ProcessState, said)
		}
	}
}

// A line of a file of variables is a variable, a comment or an error of one line. The error quotes nothing of the line, since the
// value may be a secret. A value that is written in double quotes is read as the same.
func FuzzReadVariable(f *testing.F) {
	for _, line := range []string{
		"", "# a comment", "A=b", "export A=b # a comment", "A = 'b # c' # d", `A="b\n\"c\\" # d`, `A="b`, "A='b", "A=b'c", "1A=b", "A", "=b", "A=$B", `A="\x"`, `A="a"b`, "A='a\nb'", "A=", "A=#", "A= #x", "export\tA='hunter2'",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		line, _, _ = strings.Cut(line, "\n")
		name, value, err := readVariable(line)
		if err != nil {
			if errs := err.Error(); name != "" || value != "" || strings.ContainsAny(errs, "\r\n") || !strings.HasPrefix(errs, "is no variable: ") && !strings.HasPrefix(errs, "has a quote ") {
				t.Errorf("%q: %q, %q, %v", line, name, value, err)
			}
			return
		}
		if name == "" {
			if value != "" {
				t.Errorf("%q: a value without a name: %q", line, value)
			}
			return
		}
		written := name + `="` + strings.NewReplacer("\n", `\n`, `"`, `\"`, `\`, `\\`).Replace(value) + `"`
		if again, same, err := readVariable(written); err != nil || again != name || same != value {
			t.Errorf("%q: %q is %q, and written as %q it is read as %q, %q, %v", line, name, value, written, again, same, err)
		}
	})
}
