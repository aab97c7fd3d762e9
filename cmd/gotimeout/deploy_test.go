package main

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// rootFile is a file that a tool looks for at the root.
func rootFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// symbol is the variable that the linker sets to the version. .ci/run checks that.
const symbol = "gotimeout/internal/machine.version"

// The program or the buildpack reads each variable that app.json sets.
func TestAppJSON(t *testing.T) {
	var app struct {
		Name, Description string
		Keywords          []string
		Buildpacks        []struct{ URL string }
		Formation         map[string]struct{ Quantity int }
		Env               map[string]struct{ Description, Value, Generator string }
	}
	decoder := json.NewDecoder(strings.NewReader(rootFile(t, "app.json")))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&app); err != nil {
		t.Fatal(err)
	}
	if len(app.Buildpacks) != 1 || app.Buildpacks[0].URL != "heroku/go" || app.Formation["web"].Quantity != 1 {
		t.Errorf("%+v", app)
	}
	var help bytes.Buffer
	run(t.Context(), []string{"serve", "--help"}, os.Getenv, &help, &help)
	known := help.String() + "$GOTIMEOUT_TOKEN"
	for name, v := range app.Env {
		if v.Description == "" || (v.Value == "") == (v.Generator == "") {
			t.Errorf("%s: %+v", name, v)
		}
		if name != "GO_LINKER_SYMBOL" && !strings.Contains(known, "$"+name) {
			t.Errorf("nothing reads %s", name)
		}
	}
	if got := app.Env["GO_LINKER_SYMBOL"].Value; got != symbol {
		t.Errorf("the linker writes into %s", got)
	}
	readSettings(t, "8000", []string{"GOTIMEOUT_TRUSTED_PROXIES=" + app.Env["GOTIMEOUT_TRUSTED_PROXIES"].Value})
}

// The buildpack and the image build this program, with the Go of go.mod.
func TestBuiltWith(t *testing.T) {
	mod := rootFile(t, "go.mod")
	found := regexp.MustCompile(`(?m)^go (1\.\d+)\.`).FindStringSubmatch(mod)
	if found == nil {
		t.Fatal("go.mod has no Go version")
	}
	docker := rootFile(t, "Dockerfile")
	for name, test := range map[string]struct{ text, line string }{
		"the buildpack's Go": {mod, "// +heroku goVersion go" + found[1] + "\n"},
		"its program":        {mod, "// +heroku install ./cmd/gotimeout\n"},
		"the image's Go":     {docker, "FROM golang:" + found[1] + " AS build\n"},
		"its version":        {docker, " -X " + symbol + "=$VERSION"},
	} {
		if !strings.Contains(test.text, test.line) {
			t.Errorf("%s: there is no %q", name, test.line)
		}
	}
}
