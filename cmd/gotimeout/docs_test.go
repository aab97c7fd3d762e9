//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Every block of README.md, CONTRIBUTING.md and docs/*.md is checked. Before each
// fenced block, and around each table that is made from a list or from data, stands a
// comment that names the check:
//
//	<!-- run -->           the commands print the block's output, except for numbers;
//	<!-- run slowly -->    the same, but only with GOTIMEOUT_DOCS=all, as .ci/run sets it;
//	<!-- made: NAME -->    made(NAME) returns the text, which ends at <!-- end -->;
//	<!-- checked by X -->  X is a test, or a file that has each line of the block.
//
// go test ./cmd/gotimeout -run TestDocs -update writes the made text, and the output
// that has changed.

// segment is a part of a page.
type segment struct {
	line   int // the number of the first line, from 1
	lines  []string
	marker string // the text of the comment above; "" is plain text
	fence  bool   // lines are a fenced block, with its fences
	fresh  []string
}

var marked = regexp.MustCompile(`^<!-- (run|run slowly|made: .+|checked by .+) -->$`)

// readPage splits a page and reports blocks that nothing checks.
func readPage(t *testing.T, path string) (segments []*segment) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
	add := func(from, to int, marker string, fence bool) {
		segments = append(segments, &segment{line: from + 1, lines: lines[from:to], marker: marker, fence: fence})
	}
	until := func(from int, last string) int {
		for i := from; i < len(lines); i++ {
			if strings.TrimSpace(lines[i]) == last {
				return i
			}
		}
		t.Fatalf("%s:%d: the block has no end %q", path, from, last)
		return 0
	}
	text := 0
	for i := 0; i < len(lines); i++ {
		m := marked.FindStringSubmatch(lines[i])
		switch {
		case m == nil && strings.HasPrefix(lines[i], "```"):
			t.Errorf("%s:%d: nothing checks this block: put <!-- run -->, <!-- made: NAME --> or <!-- checked by X --> above it", path, i+1)
			i = until(i+1, "```")
		case m == nil:
		case strings.HasPrefix(m[1], "made: "):
			add(text, i+1, "", false)
			end := until(i+1, "<!-- end -->")
			add(i+1, end, m[1], false)
			i, text = end, end
		default:
			if i+1 == len(lines) || !strings.HasPrefix(lines[i+1], "```") {
				t.Fatalf("%s:%d: no block follows", path, i+1)
			}
			add(text, i+1, "", false)
			end := until(i+2, "```") + 1
			add(i+1, end, m[1], true)
			i, text = end-1, end
		}
	}
	add(text, len(lines), "", false)
	return segments
}

// docPages returns the paths of the pages from the root.
func docPages(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("docs: %d pages, %v", len(pages), err)
	}
	return append([]string{"../../README.md", "../../CONTRIBUTING.md", "../../SECURITY.md"}, pages...)
}

func TestDocs(t *testing.T) {
	t.Parallel()
	shared := sync.OnceValue(func() program { return start(t) })
	for _, path := range docPages(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			if !*update && os.Getenv("GOTIMEOUT_DOCS") != "all" {
				t.Parallel() // the slow commands run one after another
			}
			segments := readPage(t, path)
			t.Run("blocks", func(t *testing.T) {
				for _, s := range segments {
					if s.marker != "" {
						t.Run(fmt.Sprintf("line %d", s.line), func(t *testing.T) {
							if !*update && s.marker != "run slowly" { // slow commands measure times, so no other block runs beside them
								t.Parallel()
							}
							s.check(t, shared)
						})
					}
				}
			})
			writePage(t, path, segments)
		})
	}
}

// writePage writes the page with the new text, under -update.
func writePage(t *testing.T, path string, segments []*segment) {
	t.Helper()
	if !*update {
		return
	}
	var page strings.Builder
	for _, s := range segments {
		lines := s.lines
		if s.fresh != nil {
			lines = s.fresh
		}
		for _, line := range lines {
			page.WriteString(line + "\n")
		}
	}
	if err := os.WriteFile(path, []byte(page.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (s *segment) check(t *testing.T, shared func() program) {
	t.Helper()
	body := s.lines
	if s.fence {
		body = s.lines[1 : len(s.lines)-1]
	}
	name, isMade := strings.CutPrefix(s.marker, "made: ")
	by, isChecked := strings.CutPrefix(s.marker, "checked by ")
	switch {
	case isMade:
		want := strings.Split(strings.TrimSuffix(made(t, name), "\n"), "\n")
		if s.fresh = want; !*update && strings.Join(body, "\n") != strings.Join(want, "\n") {
			t.Errorf("the text differs from the made text (go test ./cmd/gotimeout -run TestDocs -update):\n%s\nwant\n%s", strings.Join(body, "\n"), strings.Join(want, "\n"))
		}
	case isChecked:
		checkedBy(t, by, body)
	case s.marker == "run slowly" && os.Getenv("GOTIMEOUT_DOCS") != "all":
		t.Skip("the block is slow: GOTIMEOUT_DOCS=all runs it")
	default:
		printed := (&session{lab: shared}).run(t, body)
		for try := 1; try < 4 && !*update && blanked(printed) != blanked(body); try++ { // a pause of the machine gives a run another end
			printed = (&session{lab: shared}).run(t, body)
		}
		if got, want := blanked(printed), blanked(body); got == want {
			return
		} else if *update {
			s.fresh = append(append([]string{s.lines[0]}, printed...), "```")
		} else {
			t.Errorf("the output differs (go test ./cmd/gotimeout -run TestDocs -update):\n%s\n\n%s\nwant\n%s", strings.Join(printed, "\n"), got, want)
		}
	}
}

// checkedBy checks that there is a test of the name, or a file with the lines of the block.
func checkedBy(t *testing.T, by string, body []string) {
	t.Helper()
	if strings.HasPrefix(by, "Test") || strings.HasPrefix(by, "Example") || strings.HasPrefix(by, "Benchmark") {
		if !goTests()[by] {
			t.Errorf("the project has no %s", by)
		}
		return
	}
	text := rootFile(t, by)
	for _, line := range body {
		command, _, _ := strings.Cut(strings.TrimPrefix(line, "$ "), "   #")
		if command = strings.TrimSpace(command); !strings.Contains(text, command) {
			t.Errorf("%s has no %q", by, command)
		}
	}
}

// goTests returns the names of the project's tests.
var goTests = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Example|Benchmark)\w+)\(`)
	_ = filepath.WalkDir("../..", func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			text, _ := os.ReadFile(path)
			for _, m := range declared.FindAllSubmatch(text, -1) {
				names[string(m[1])] = true
			}
		}
		return err
	})
	return names
})

// session runs the commands of a block. "localhost:8000" stands for a lab that all blocks
// share, or for the lab that the block starts.
type session struct {
	lab  func() program
	host string
	ids  map[string]string // the IDs of receipts, by the IDs that the page shows
	env  []string
}

var receiptID = regexp.MustCompile(`\b[0-9a-f]{6}-\d+\b`)

func (s *session) run(t *testing.T, body []string) (printed []string) {
	t.Helper()
	dir := t.TempDir()
	program, err := os.Executable()
	if err == nil {
		err = os.Symlink(program, filepath.Join(dir, "gotimeout"))
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, ".curlrc"), []byte("silent\nshow-error\nnoproxy = *\n"), 0o644)
	}
	if err == nil { // a module with a test, for the commands that run go test
		err = errors.Join(
			os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module yours\n"), 0o644),
			os.WriteFile(filepath.Join(dir, "yours_test.go"), []byte("package yours\n\nimport \"testing\"\n\nfunc Test(t *testing.T) {}\n"), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	s.env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0", "CURL_HOME="+dir, "PATH="+dir+":"+os.Getenv("PATH"), "GOTIMEOUT_ADDR=127.0.0.1:0")
	s.ids = map[string]string{}
	for i := 0; i < len(body); {
		from := i
		command := strings.TrimPrefix(body[i], "$ ")
		for i++; i < len(body) && (strings.HasSuffix(body[i-1], `\`) || strings.HasPrefix(body[i], "> ")); i++ {
			command += "\n" + strings.TrimPrefix(body[i], "> ")
		}
		printed = append(printed, body[from:i]...)
		shown := i
		if console := strings.HasPrefix(body[from], "$ "); console {
			for i < len(body) && !strings.HasPrefix(body[i], "$ ") {
				i++
			}
			printed = append(printed, s.command(t, dir, command, body[shown:i])...)
		} else if command != "" && !strings.HasPrefix(command, "#") {
			s.command(t, dir, command, nil)
		}
	}
	return printed
}

var (
	labStarts   = regexp.MustCompile(`(^|\s)gotimeout( serve( .*)?| -.*)?$`)
	needsTun    = regexp.MustCompile(`--network |network (run|check)|timewait|replay --all`)
	hereOrThere = regexp.MustCompile(`(localhost|127\.0\.0\.1):8000`)
)

// command runs one command, and returns its output with the IDs and addresses of the page.
func (s *session) command(t *testing.T, dir, command string, shown []string) []string {
	t.Helper()
	command = strings.ReplaceAll(command, "go run ./cmd/gotimeout", "gotimeout")
	if needsTun.MatchString(command) {
		needPackets(t, nil)
	}
	for old, fresh := range s.ids {
		command = strings.ReplaceAll(command, old, fresh)
	}
	if id := receiptID.FindString(command); id != "" && !slices.Contains(slices.Collect(maps.Values(s.ids)), id) {
		t.Errorf("%s: no output before it has shown the receipt %s", command, id)
	}
	serve := labStarts.MatchString(command) && !strings.Contains(command, "--help") && !strings.Contains(command, "--version")
	if serve {
		command = "exec " + strings.TrimPrefix(command, "sudo ")
	} else if hereOrThere.MatchString(command) {
		if s.host == "" {
			s.host = strings.TrimPrefix(s.lab().url, "http://")
		}
		command = hereOrThere.ReplaceAllString(command, s.host)
		// The first to use the lab's queue waits for its opening, and so this does.
		if resp, err := http.Get("http://" + s.host + "/jobs/none-0"); err == nil {
			resp.Body.Close()
		}
	}
	shell := func() *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", command)
		cmd.Dir, cmd.Env, cmd.WaitDelay = dir, s.env, 20*time.Second
		return cmd
	}
	if cmd := shell(); serve {
		lab := serving(t, cmd)
		t.Cleanup(func() { _ = lab.Process.Signal(syscall.SIGTERM); _ = lab.Wait() })
		s.host = strings.TrimPrefix(servingAt.FindStringSubmatch(lab.log)[1], "http://")
		return nil
	}
	out, err := shell().CombinedOutput()
	for try := 1; try < 5 && err != nil && strings.Contains(command, "network check"); try++ { // what it measures depends on the machine
		out, err = shell().CombinedOutput()
	}
	if err != nil {
		t.Errorf("%s: %v\n%s", command, err, out)
	}
	text := strings.TrimSuffix(string(out), "\n")
	if s.host != "" {
		text = strings.ReplaceAll(text, s.host, "localhost:8000")
	}
	was, is := receiptID.FindAllString(strings.Join(shown, "\n"), -1), receiptID.FindAllString(text, -1)
	for i := range min(len(was), len(is)) {
		s.ids[was[i]] = is[i]
	}
	if *update { // the IDs of the page stay, so that later commands can name them
		for i := range min(len(was), len(is)) {
			text = strings.ReplaceAll(text, is[i], was[i])
		}
	}
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

var (
	numbers   = regexp.MustCompile(`[-+]?\d[\d.,:]*(T[\d:.]+Z)?|(^|\s)[-?](\s|$)|\bnull\b`)
	spaces    = regexp.MustCompile(`\s+`)
	ofPackets = regexp.MustCompile(`(driver=|by )(netem|tun)\b`) // depends on the kernel
)

// blanked returns the text without the parts that differ from run to run.
func blanked(lines []string) string {
	text := receiptID.ReplaceAllString(strings.Join(lines, "\n"), "ID")
	text = ofPackets.ReplaceAllString(text, "$1 packets")
	text = spaces.ReplaceAllString(text, "  ")
	text = numbers.ReplaceAllString(text, " N ")
	return spaces.ReplaceAllString(text, " ")
}

var (
	links    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headings = regexp.MustCompile(`(?m)^#+ (.+)$`)
	fences   = regexp.MustCompile("(?s)\n```.*?\n```\n") // Go's generics look like links
	noAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// SECURITY.md names in the last column of each table the tests that hold a promise or find a fault, and they are there.
func TestSecurityNamesItsTests(t *testing.T) {
	page, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	err = filepath.WalkDir("../..", func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllSubmatch(code, -1) {
			known[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(line, "|\n "), "|")
		last := cells[len(cells)-1]
		if len(cells) < 2 || strings.Contains(line, "---") || strings.TrimSpace(last) == "test" {
			continue
		}
		for name := range strings.SplitSeq(last, ",") {
			if name = strings.Trim(name, " `"); !known[name] {
				t.Errorf("there is no test %q", name)
			}
		}
	}
}

// Each link within the project has a target, README.md links to every page of the docs,
// and README.md is short.
func TestDocsLinks(t *testing.T) {
	anchors := func(path string) map[string]bool {
		known := map[string]bool{"": true}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		for _, m := range headings.FindAllStringSubmatch(string(text), -1) {
			known[strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
		}
		return known
	}
	linked := map[string]bool{}
	for _, page := range docPages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(text, []byte("\n")); filepath.Base(page) == "README.md" && lines > 250 {
			t.Errorf("README.md has %d lines: move some of them to docs", lines)
		}
		for _, m := range links.FindAllStringSubmatch(fences.ReplaceAllString(string(text), ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			to := filepath.Join(filepath.Dir(page), file)
			if file == "" {
				to = page
			}
			if info, err := os.Stat(to); err != nil || !info.IsDir() && strings.HasSuffix(to, ".md") && !anchors(to)[anchor] {
				t.Errorf("%s: %s leads nowhere", page, m[1])
			}
			if filepath.Base(page) == "README.md" {
				linked[to] = true
			}
		}
	}
	for _, page := range docPages(t)[1:] {
		if !linked[page] {
			t.Errorf("README.md has no link to %s", page)
		}
	}
}

// The picture in README.md shows a race that the test runs; -update takes the picture again.
func TestPictures(t *testing.T) {
	if !*update {
		slow(t)
	}
	t.Parallel()
	browser := openBrowser(t)
	p := start(t)
	b := openTab(t, browser, wide)
	b.open(p.url + "/?op=db&delay=2s&timeout=500ms&race=1")
	b.until(over)
	b.checkLanes()
	if !*update {
		return
	}
	box := in[page.Viewport](b, `(() => {
		const key = document.querySelector('.key').getBoundingClientRect(), lanes = document.querySelector('#lanes').getBoundingClientRect()
		return {x: lanes.x - 12, y: key.y + scrollY - 12, width: lanes.width + 24, height: lanes.bottom - key.y + 12, scale: 1}
	})()`)
	beyond := true
	shot, err := chromedp.Call(b.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{Clip: &box, CaptureBeyondViewport: &beyond})
	if err == nil {
		err = os.WriteFile("../../docs/img/race.png", shot.Data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
