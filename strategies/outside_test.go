package strategies_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The commands and the program of the package's doc run in another module,
// without a network.
func TestOutsideModule(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	lab, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	parent := t.TempDir()
	own := filepath.Join(parent, "own")
	if err := os.Mkdir(own, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(lab, filepath.Join(parent, "goTimeout")); err != nil {
		t.Skip(err) // Windows doesn't let users create links
	}
	blocks := docBlocks(t)
	if len(blocks) != 2 {
		t.Fatalf("the doc has %d blocks of code, want the commands and the program", len(blocks))
	}
	if err := os.WriteFile(filepath.Join(own, "main.go"), []byte(blocks[1]), 0o644); err != nil {
		t.Fatal(err)
	}
	var out string
	for command := range strings.Lines("go mod init example.com/own\n" + blocks[0] + "go run .\n") {
		c := exec.CommandContext(t.Context(), "go", strings.Fields(command)[1:]...)
		c.Dir, c.Env = own, append(os.Environ(), "GOPROXY=off", "GOSUMDB=off", "GOFLAGS=", "GOWORK=off")
		text, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", command, err, text)
		}
		out = string(text)
	}
	if out != "an answer <nil>\n" {
		t.Errorf("the program printed %q", out)
	}
}

// docBlocks returns the blocks of code in doc.go.
func docBlocks(t *testing.T) (blocks []string) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var block strings.Builder
	for line := range strings.Lines(string(text)) {
		code, isCode := strings.CutPrefix(line, "//\t")
		if !isCode && line == "//\n" {
			code, isCode = "\n", block.Len() > 0
		}
		if isCode {
			block.WriteString(code)
		} else if block.Len() > 0 {
			blocks = append(blocks, strings.Trim(block.String(), "\n")+"\n")
			block.Reset()
		}
	}
	return blocks
}
