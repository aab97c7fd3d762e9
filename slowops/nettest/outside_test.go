//go:build linux

package nettest_test

import (
	"encoding/json"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// docBlocks returns the blocks of code in doc.go: the package and the commands.
func docBlocks(t *testing.T) (blocks []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range new(comment.Parser).Parse(f.Doc.Text()).Content {
		if code, ok := block.(*comment.Code); ok {
			blocks = append(blocks, code.Text)
		}
	}
	return blocks
}

// more has tests beside the doc's that fail, race and cover.
const more = `package own

import (
	"os"
	"testing"
)

func TestCovers(t *testing.T) { Reached() }

func TestFails(t *testing.T) { t.Error(os.Args[0]) }

func TestRaces(t *testing.T) {
	n, done := 0, make(chan bool)
	go func() { n++; close(done) }()
	n++
	<-done
}
`

// The package of the doc is tested in another module, with what go test offers.
func TestOutsideModule(t *testing.T) {
	if os.Getenv("GOTIMEOUT_SLOW") == "" {
		t.Skip("builds test binaries in another module; set GOTIMEOUT_SLOW=1 to run it")
	}
	subject(t, os.Getuid(), "none", "x") // skips on a private loopback
	users(t, func(t *testing.T, uid int) {
		if uid != os.Getuid() {
			t.Skip("only this user has Go's caches")
		}
		lab, err := filepath.Abs("../..")
		if err != nil {
			t.Fatal(err)
		}
		parent := t.TempDir()
		own := filepath.Join(parent, "own")
		if err := os.Mkdir(own, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(lab, filepath.Join(parent, "goTimeout")); err != nil {
			t.Fatal(err)
		}
		blocks := docBlocks(t)
		for name, text := range map[string]string{"own_test.go": blocks[0], "more_test.go": more, "own.go": "package own\n\nfunc Reached() bool { return true }\n"} {
			if err := os.WriteFile(filepath.Join(own, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		command := func(line string) (status int, out string) {
			c := exec.CommandContext(t.Context(), "go", strings.Fields(line)[1:]...)
			c.Dir, c.Env = own, append(os.Environ(), "GOPROXY=off", "GOSUMDB=off", "GOFLAGS=", "GOWORK=off", "NETTEST=require")
			return run(t, c)
		}
		for line := range strings.Lines("go mod init example.com/own\n" + blocks[len(blocks)-1]) {
			if status, out := command(line); status != 0 {
				t.Fatalf("%s: exit status %d: %s", line, status, out)
			}
		}
		for line, want := range map[string]struct {
			status int
			prints string
		}{
			"go test -run TestDial -count=2 -v .": {0, "--- PASS: TestDial"},
			"go test -run TestFails .":            {1, "--- FAIL: TestFails"},
			"go test -race -run TestRaces .":      {1, "WARNING: DATA RACE"},
			"go test -list Dial .":                {0, "TestDial"},
			"go test -coverprofile=profile -run TestCovers . -args -test.gocoverdir=" + own: {0, "coverage: 100.0% of statements"},
		} {
			if status, out := command(line); status != want.status || !strings.Contains(out, want.prints) || strings.Contains(out, "GOCOVERDIR") {
				t.Errorf("%s: exit status %d, want %d with %q: %s", line, status, want.status, want.prints, out)
			}
		}
		written, _ := filepath.Glob(filepath.Join(own, "cov*.*"))
		if profile, err := os.ReadFile(filepath.Join(own, "profile")); err != nil || len(written) != 2 || !strings.Contains(string(profile), "own.go:3.21,3.36 1 1") {
			t.Errorf("coverage: %v, %v: %s", written, err, profile)
		}
		_, out := command("go test -json -count=2 -run TestDial .")
		passes := 0
		for line := range strings.Lines(out) {
			var event struct{ Action, Test string }
			if err := json.Unmarshal([]byte(line), &event); err != nil {
				t.Errorf("%v: %s", err, line)
			}
			if event.Action == "pass" && event.Test == "TestDial" {
				passes++
			}
		}
		if passes != 2 {
			t.Errorf("-json -count=2 has %d passes: %s", passes, out)
		}
	})
}
