//go:build linux

package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/drivers"
	"gotimeout/internal/explain"
	"gotimeout/internal/golden"
	"gotimeout/internal/lab"
	"gotimeout/internal/replay"
	"gotimeout/internal/report"
	"gotimeout/internal/results"
	"gotimeout/internal/samples"
	"gotimeout/internal/timewait"
	"gotimeout/slowops"
	"gotimeout/strategies"
)

// made returns the text that a page shows of a list, as "strategies", or of a data file:
// "data NAME" for docs/data/NAME.txt.
func made(t *testing.T, name string) string {
	t.Helper()
	what, of, _ := strings.Cut(name, " ")
	switch what {
	case "strategies":
		return madeStrategies()
	case "code":
		return madeCode(of)
	case "outcomes":
		return madeOutcomes(t)
	case "ops":
		return madeOps(t)
	case "presets":
		return madePresets()
	case "columns":
		return madeColumns()
	case "experiments":
		return madeExperiments()
	case "errors":
		return madeErrors()
	case "replays":
		return madeReplays()
	case "touches":
		return madeTouches()
	case "verdicts":
		return madeVerdicts(t)
	case "formats":
		return madeFormats()
	case "drivers":
		return madeDrivers()
	case "metrics":
		return madeMetrics(t)
	case "help":
		var out bytes.Buffer
		run(t.Context(), append(strings.Fields(of), "--help"), os.Getenv, &out, &out)
		return fenced(out.String())
	case "file":
		return fenced(rootFile(t, of))
	case "data":
		return madeData(t, of)
	case "atlas":
		var b strings.Builder
		if err := report.AtlasMarkdown(&b, recordedAtlas(t)); err != nil {
			t.Fatal(err)
		}
		return madeData(t, "atlas") + b.String()
	case "public":
		return madePublic(t)
	case "tls":
		return madeTLS(t)
	}
	t.Fatalf("nothing makes %q", name)
	return ""
}

func fenced(text string) string { return "```\n" + strings.TrimSuffix(text, "\n") + "\n```\n" }

// table returns a markdown table; the text of a cell may hold a |.
func table(head []string, rows [][]string) string {
	var b strings.Builder
	row := func(cells []string) {
		b.WriteString("|")
		for _, cell := range cells {
			b.WriteString(" " + strings.ReplaceAll(cell, "|", `\|`) + " |")
		}
		b.WriteString("\n")
	}
	row(head)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for _, cells := range rows {
		row(cells)
	}
	return b.String()
}

// madeTLS is the table of other clients' TLS options, and of the tls= that ParseDSN makes of them.
func madeTLS(t *testing.T) string {
	var rows [][]string
	for _, row := range []struct{ mysql, others, means string }{
		{"ssl-mode=DISABLED", "sslmode=disable useSSL=false ssl=false", "no TLS"},
		{"ssl-mode=PREFERRED", "sslmode=prefer", "TLS if the server has it, else a login without TLS"},
		{"ssl-mode=REQUIRED", "sslmode=require useSSL=true requireSSL=true ssl=true", "TLS or no login; the certificate is not checked, because the option doesn't ask for that"},
		{"ssl-mode=VERIFY_CA", "sslmode=verify-ca", "a certificate of a known CA; the driver can't check only the CA, and checks the host's name too"},
		{"ssl-mode=VERIFY_IDENTITY", `sslmode=verify-full ssl={"rejectUnauthorized":true}`, "a certificate of a known CA, for this host"},
	} {
		as := ""
		var options []string
		for _, option := range append([]string{row.mysql}, strings.Fields(row.others)...) {
			cfg, _, err := slowops.ParseDSN("mysql://u:p@h/d?" + option)
			if err != nil {
				t.Fatal(err)
			}
			if as = cmp.Or(as, cfg.TLSConfig); as != cfg.TLSConfig {
				t.Errorf("%s is tls=%s, and the other options of its row are tls=%s", option, cfg.TLSConfig, as)
			}
			options = append(options, "`"+option+"`")
		}
		rows = append(rows, []string{strings.Join(options, ", "), "`tls=" + as + "`", row.means})
	}
	return table([]string{"option", "is read as", "which means"}, rows)
}

func madeExperiments() string {
	var rows [][]string
	for _, e := range timewait.All() {
		rows = append(rows, []string{"`" + e.Name + "`", e.Title})
	}
	return table([]string{"experiment", "shows"}, rows)
}

// madeErrors has a section for each message.
func madeErrors() string {
	var b strings.Builder
	for _, m := range explain.Messages() {
		how := m.Otherwise
		if m.Make != "" {
			how = "`" + m.Make + "`"
		}
		fmt.Fprintf(&b, "\n### `%s`\n\n%s\n\n", m.Texts[0], m.From)
		if len(m.Texts) > 1 {
			fmt.Fprintf(&b, "- Also: `%s`\n", strings.Join(m.Texts[1:], "`, `"))
		}
		fmt.Fprintf(&b, "- Make it: %s\n- Do: %s\n", how, m.Do)
	}
	return strings.TrimPrefix(b.String(), "\n")
}

// madeReplays has the issues with their addresses, and the remedy of each.
func madeReplays() string {
	var rows [][]string
	for _, e := range replay.All() {
		var links []string
		for _, address := range e.Issues {
			_, path, _ := strings.Cut(address, "://")
			links = append(links, "["+path[strings.LastIndexByte(strings.TrimSuffix(path, "/"), '/')+1:]+"]("+address+")")
		}
		rows = append(rows, []string{"`" + e.ID + "`", e.Title, strings.Join(links, ", "), e.Remedy})
	}
	return table([]string{"issue", "the trap", "reported in", "remedy"}, rows)
}

func madeStrategies() string {
	var rows [][]string
	for _, s := range lab.Strategies() {
		rows = append(rows, []string{"`" + s.Name + "`", string(s.Family), s.Doc})
	}
	return table([]string{"strategy", "family", "what it does"}, rows)
}

// madeCode is the code of a strategy, for each op that has code.
func madeCode(strategy string) string {
	var b strings.Builder
	for _, op := range samples.Ops(strategy) {
		code, _ := samples.Of(strategy, op) // Ops has no other op
		b.WriteString("```go\n" + code + "```\n\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// madeOutcomes has a row for each strategy: from the matrix what the strategy leaves behind, and
// from the recorded comparison how its connections end.
func madeOutcomes(t *testing.T) string {
	cells := matrix(t)
	of := func(strategy, op, ctx string) cell {
		c, ok := cells[strategy+" "+op+" "+ctx]
		if !ok {
			t.Fatalf("the matrix has no %s %s %s", strategy, op, ctx)
		}
		return c
	}
	answer := func(c cell) string {
		switch {
		case c.status == "accepted":
			return "at once, before the call"
		case c.answered == "timeout":
			return "at the timeout"
		}
		return "when the call ends"
	}
	runsOn := func(at, what string) string {
		if at == "timeout" {
			return "stops"
		}
		return what
	}
	connections := map[string]string{} // how those of a strategy end, in the recorded comparison
	for _, g := range recordedComparison(t).Groups() {
		for _, row := range g.Rows {
			ideal := row.Figure("connections_ideal")
			switch opened := *row.Figure("connections_opened"); {
			case ideal == nil || *ideal == 0 || connections[row.Strategy] == "closed":
			case opened > 2**ideal:
				connections[row.Strategy] = "closed"
			default:
				connections[row.Strategy] = "kept"
			}
		}
	}
	var rows [][]string
	for _, s := range lab.Strategies() {
		op := "http"
		if !s.Suits(op) {
			op = "db/sleep"
		}
		aware, deaf, db := of(s.Name, op, "aware"), of(s.Name, op, "deaf"), of(s.Name, "db/cpu", "aware")
		cpu, here, connection, server, database := "-", "nothing", cmp.Or(connections[s.Name], "-"), "-", runsOn(db.backend, "runs on")
		if s.Suits("cpu") {
			cpu = answer(of(s.Name, "cpu", "aware"))
		}
		if s.Suits("http") {
			server = runsOn(aware.backend, "runs on")
		}
		switch "timeout end" {
		case aware.answered + " " + aware.ended:
			if here = "the goroutine, until the call ends"; aware.status == "accepted" {
				here = "nothing; in the worker's, the goroutine, until the call ends"
			}
		case deaf.answered + " " + deaf.ended:
			here = "nothing; of a call that ignores it the goroutine, until the call ends"
		}
		if s.Unbounded {
			server, database = "-", "-"
		}
		rows = append(rows, []string{"`" + s.Name + "`", answer(aware), answer(deaf), cpu, here, connection, server, database})
	}
	return table([]string{"strategy", "answers a call that honours its context", "a call that ignores it", "a computation", "leaves in your process", "the connection", "a server that watches its client", "a query in MySQL"}, rows)
}

var opLine = regexp.MustCompile(`(?m)^op=(\S+) (.*)$`)

// madeOps is the lab's table of its ops.
func madeOps(t *testing.T) string {
	var rows [][]string
	for _, m := range opLine.FindAllStringSubmatch(get(t, start(t).url), -1) {
		doc, _, _ := strings.Cut(m[2], " backend=")
		doc, _, _ = strings.Cut(doc, " work=sleep|")
		rows = append(rows, []string{"`" + m[1] + "`", doc})
	}
	if len(rows) < 5 {
		t.Fatalf("the page lists %d ops", len(rows))
	}
	return table([]string{"op", "what it calls"}, rows)
}

// madePublic compares the limits of a public lab with those of another lab.
func madePublic(t *testing.T) string {
	type caps struct {
		Delay     string `json:"max_delay"`
		Timeout   string `json:"max_timeout"`
		InFlight  int    `json:"max_in_flight"`
		Abandoned int    `json:"max_abandoned"`
		Receipts  int    `json:"receipts"`
	}
	of := func(flag string) []string {
		var lab struct{ Caps caps }
		start(t, flag).get(t, "/lab", &lab)
		c := lab.Caps
		return []string{c.Delay, c.Timeout, strconv.Itoa(c.InFlight), strconv.Itoa(c.Abandoned), strconv.Itoa(c.Receipts)}
	}
	rows := [][]string{{"`--max-delay`"}, {"`--max-timeout`"}, {"`--max-in-flight`"}, {"`--max-abandoned`"}, {"`--receipts`"}}
	public, private := of("--public"), of("--no-public")
	for i := range rows {
		rows[i] = append(rows[i], public[i], private[i])
	}
	share := fmt.Sprintf("%d runs a minute", 200*len(lab.Strategies()))
	rows = append(rows,
		[]string{"a client, which is an address or an IPv6 /64", share, "no limit"},
		[]string{"the network is changed", "with `GOTIMEOUT_TOKEN` only", "with the token, or from this machine"})
	return table([]string{"", "public", "otherwise"}, rows)
}

func madePresets() string {
	var rows [][]string
	for _, p := range badnet.Presets() {
		name, link, ok := strings.Cut(p.Source, ", https://")
		if ok {
			name = "[" + name + "](https://" + link + ")"
			if section, address, more := strings.Cut(link, ", https://"); more {
				name = "[" + p.Source[:strings.Index(p.Source, ", https://")] + ", " + section + "](https://" + address + ")"
			}
		}
		rows = append(rows, []string{"`" + p.Name + "`", p.Doc, "`" + p.Profile.String() + "`", name})
	}
	return table([]string{"preset", "", "profile", "source of the figures"}, rows)
}

// madeTouches has the things that TestTouches adds, and the files of each.
func madeTouches() string {
	cell := func(paths iter.Seq[string]) string {
		var shown []string
		for _, path := range slices.Sorted(paths) {
			shown = append(shown, "`"+strings.ReplaceAll(path, "throwaway", "NAME")+"`")
		}
		return strings.Join(shown, ", ")
	}
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(touches)) {
		rows = append(rows, []string{name, cell(maps.Keys(touches[name].files)), cell(maps.Keys(touches[name].edits))})
	}
	return table([]string{"to add", "write", "and add it to the list in"}, rows)
}

func madeFormats() string {
	var rows [][]string
	for _, f := range report.Formats(report.Terminal{Width: 80}) {
		two := "yes"
		if f.Two == nil {
			two = "no"
		}
		rows = append(rows, []string{"`" + f.Name + "`", two})
	}
	return table([]string{"`--format`", "shows what differs between two"}, rows)
}

func madeDrivers() string {
	rows := [][]string{{"`auto`", "the first driver that works here and can do the profile; `gotimeout network drivers` says why not the others"}}
	for _, d := range drivers.All() {
		rows = append(rows, []string{"`" + d.Name + "`", d.About()})
	}
	return table([]string{"`--network-driver`", ""}, rows)
}

var metricHelp = regexp.MustCompile(`(?m)^# HELP (gotimeout_\S+) (.*)\n# TYPE \S+ (\S+)\n`)

// madeMetrics has the metrics of a lab, with their labels and helps.
func madeMetrics(t *testing.T) string {
	text := get(t, start(t).url+"/metrics")
	var rows [][]string
	for _, m := range metricHelp.FindAllStringSubmatch(text, -1) {
		labels := map[string]bool{}
		for _, series := range regexp.MustCompile(`(?m)^`+m[1]+`(?:_\w+)?\{(.*)\}`).FindAllStringSubmatch(text, -1) {
			for _, label := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(series[1], -1) {
				labels[label[1]] = true
			}
		}
		delete(labels, "le")
		rows = append(rows, []string{"`" + m[1] + "`", m[3], strings.Join(slices.Sorted(maps.Keys(labels)), ", "), m[2]})
	}
	return table([]string{"metric", "type", "labels", "meaning"}, rows)
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	return string(body)
}

func madeColumns() string {
	var rows [][]string
	for _, c := range results.Columns() {
		rows = append(rows, []string{"`" + c.Name + "`", c.Title, c.Unit, c.Doc})
	}
	return table([]string{"column", "title", "unit", "meaning"}, rows)
}

// madeVerdicts shows the first lines of recorded runs whose right verdict is known.
func madeVerdicts(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, name := range []string{"http", "db", "short"} {
		r := recordedFrom(t, "../../internal/report/testdata/recorded/"+name+".jsonl.gz")
		var table strings.Builder
		if err := report.Table(&table, r, report.Terminal{Width: 80}); err != nil {
			t.Fatal(err)
		}
		verdict, _, _ := strings.Cut(table.String(), "\n- ")
		fmt.Fprintf(&b, "$ %s\n%s\n\n", r.Run.Command, verdict)
	}
	return fenced(strings.TrimRight(b.String(), "\n"))
}

// madeData shows docs/data/NAME.txt: lines of "key: value", an empty line, and the measured
// text. The table of the comparison, whose NAME is compare, is made from its records.
func madeData(t *testing.T, name string) string {
	head, body, ok := strings.Cut(rootFile(t, "docs/data/"+name+".txt"), "\n\n")
	if !ok {
		t.Fatalf("docs/data/%s.txt has no empty line after its head", name)
	}
	said := map[string]string{}
	for _, line := range strings.Split(head, "\n") {
		key, value, _ := strings.Cut(line, ": ")
		said[key] = value
	}
	for _, key := range []string{"commit", "date", "machine", "command", "packages"} {
		if said[key] == "" {
			t.Errorf("docs/data/%s.txt has no %s", name, key)
		}
	}
	return fmt.Sprintf("Measured at commit `%s` on %s by `%s`: %s.\n\n%s", said["commit"], said["date"], said["command"], said["machine"], body)
}

// scripts/audit measures every figure of a receipt from outside the lab.
func TestAudit(t *testing.T) {
	slow(t)
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	cmd := exec.CommandContext(t.Context(), "../../scripts/audit", "--gotimeout", os.Args[0], "--calls=1", "--only=context-cancel/http", "--embedded", "--out=-")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	var failed bytes.Buffer
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil && strings.Contains(failed.String(), "no network namespace") {
		t.Skip(failed.String())
	}
	const off = `[+-]\d+\.\d, [+-]\d+\.\d`
	row := regexp.MustCompile("(?m)^commit: .*(?s:.*)^\\| http \\| `context-cancel` (\\| " + off + " ){4}\\|$")
	if err != nil || !row.Match(out) {
		t.Errorf("%v, %s%s", err, out, failed.String())
	}
}

// recordedComparison reads docs/data/compare.jsonl.gz.
func recordedComparison(t *testing.T) *results.Results {
	t.Helper()
	return recordedFrom(t, "../../docs/data/compare.jsonl.gz")
}

// recordedFrom reads records that were written by --out, and gzipped.
func recordedFrom(t *testing.T, path string) *results.Results {
	t.Helper()
	r, err := results.Read(golden.Unzipped(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// recordedAtlas reads docs/data/atlas.json.gz.
func recordedAtlas(t *testing.T) *results.Atlas {
	t.Helper()
	a, err := results.ReadAtlas(golden.Unzipped(t, "../../docs/data/atlas.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// The page of the atlas is made from its receipts.
func TestDocsAtlas(t *testing.T) {
	var page bytes.Buffer
	if err := report.AtlasHTML(&page, recordedAtlas(t)); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "../../../docs/atlas.html", page.Bytes())
}

// The table and the pictures of the comparison are made from its records.
func TestDocsCompare(t *testing.T) {
	r := recordedComparison(t)
	var table strings.Builder
	if err := report.Table(&table, r, report.Terminal{Width: 80}); err != nil {
		t.Fatal(err)
	}
	const path = "../../docs/data/compare.txt"
	head, _, _ := strings.Cut(rootFile(t, "docs/data/compare.txt"), "\n\n")
	golden.Check(t, filepath.Join("..", path), head+"\n\n"+fenced(table.String()))
	for _, g := range r.Groups() {
		golden.Check(t, "../../../docs/img/compare-"+g.Op+".svg", report.Lanes(g))
	}
}

// docs/http-api.md names every parameter and every path of the lab.
func TestDocsNameTheAPI(t *testing.T) {
	t.Parallel()
	p, page := start(t), rootFile(t, "docs/http-api.md")
	for path, word := range map[string]*regexp.Regexp{"/baseline?nosuch=1": regexp.MustCompile(`\b[a-z_]+\b`), "/nosuch": regexp.MustCompile(`(/[a-z]+)+`)} {
		var refused struct{ Error struct{ Message string } }
		p.get(t, path, &refused)
		_, allowed, _ := strings.Cut(refused.Error.Message, ": ")
		for _, name := range word.FindAllString(allowed, -1) {
			if known := name == "use" || name == "or" || slices.ContainsFunc(lab.Strategies(), func(s strategies.Strategy) bool { return strings.HasPrefix(s.Name, strings.Trim(name, "/")) }); !known && !strings.Contains(page, "`"+name) {
				t.Errorf("docs/http-api.md does not name %s", name)
			}
		}
	}
}

// docs/architecture.md names every package in a folder of internal, and those outside it.
func TestDocsArchitecture(t *testing.T) {
	page := rootFile(t, "docs/architecture.md")
	folders, err := filepath.Glob("../../internal/*/*.go")
	if err != nil || len(folders) == 0 {
		t.Fatalf("%d, %v", len(folders), err)
	}
	for _, file := range append(folders, "../../strategies/", "../../slowops/", "../../handlers/", "../../cmd/gotimeout/") {
		if name := strings.TrimPrefix(filepath.Dir(file), "../../"); !strings.Contains(page, "`"+name+"`") {
			t.Errorf("docs/architecture.md does not name %s", name)
		}
	}
}
