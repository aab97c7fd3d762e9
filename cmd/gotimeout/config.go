package main

import (
	"cmp"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"gotimeout/slowops"

	"github.com/alecthomas/kong"
)

type configCmd struct {
	serveCmd

	JSON bool `name:"json" help:"Print one JSON object: settings, each with name, value, from and variable, and notes."`
}

// Help returns the text of the help above the flags. kong calls it.
func (configCmd) Help() string {
	return `Config takes the flags of serve, reads the same variables, and serves nothing. It
shows the settings that serve would have, and where each came from: its default, a
flag, a variable of the environment, of --env-file or of a PaaS. Passwords, headers
and other secrets are shown as ***.

  gotimeout config
  gotimeout config --public --env-file production.env

The exit status is 0, and 2 for a bad value, as that of serve.`
}

// origin is the source of a setting's value.
type origin string

const (
	fromDefault     origin = "default"
	fromFlag        origin = "flag"
	fromEnvironment origin = "environment"
	fromFile        origin = "env file"
	fromAddon       origin = "PaaS"
)

// setting is a line of the table.
type setting struct {
	Name     string  `json:"name"`
	Value    *string `json:"value"` // null if not set
	From     origin  `json:"from"`
	Variable string  `json:"variable,omitempty"`
}

// otherVariables are the variables without a flag: their names, and which part is a secret.
var otherVariables = []struct{ name, secret string }{
	{"GOTIMEOUT_TOKEN", secretAll},
	{"OTEL_SDK_DISABLED", ""},
	{"OTEL_TRACES_EXPORTER", ""},
	{"OTEL_EXPORTER_OTLP_ENDPOINT", secretURL},
	{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", secretURL},
	{"OTEL_EXPORTER_OTLP_PROTOCOL", ""},
	{"OTEL_EXPORTER_OTLP_HEADERS", secretAll},
}

// Run shows the settings. kong calls it.
func (c *configCmd) Run(k *kong.Context, getenv environment, to streams) error {
	plan, err := c.read(getenv)
	if err != nil {
		return err
	}
	all := settingsOf(k, getenv)
	if c.JSON {
		return printJSON(to.out, struct {
			Settings []setting `json:"settings"`
			Notes    []string  `json:"notes"`
		}{all, append([]string{}, plan.notes...)})
	}
	table := &helpText{width: to.columns(to.out)}
	entries := [][2]string{{"setting", "value (from)"}}
	for _, s := range all {
		entries = append(entries, [2]string{s.Name, s.text(table.width)})
	}
	table.entries(entries)
	for _, note := range plan.notes {
		table.WriteString("\n")
		table.paragraph(broken(note, table.width), 0, 0)
	}
	_, err = fmt.Fprint(to.out, table)
	return err
}

// text returns the value and its source, wrapped for the width of a table.
func (s setting) text(width int) string {
	if s.Value == nil {
		return "not set"
	}
	from := string(s.From)
	if s.Variable != "" {
		from += " $" + s.Variable
	}
	room := width - 6
	if width >= twoColumns {
		room = width - 34
	}
	return broken(*s.Value+" ("+from+")", room)
}

// broken breaks each word of text that is longer than room.
func broken(text string, room int) string {
	var words []string
	for _, word := range strings.Fields(text) {
		for part := range slices.Chunk([]rune(word), room) {
			words = append(words, string(part))
		}
	}
	return strings.Join(words, " ")
}

// settingsOf returns the flags of a command, without config's own, and the variables without
// a flag.
func settingsOf(k *kong.Context, getenv environment) (all []setting) {
	file := envFileOf(k)
	of := func(name string) origin {
		if getenv(name) != file.values[name] || file.values[name] == "" {
			return fromEnvironment
		}
		return fromFile
	}
	for _, flag := range k.Selected().Flags {
		if flag.Name == "json" {
			continue
		}
		s := setting{Name: "--" + flag.Name, From: fromDefault, Value: shown(flag)}
		path := slices.IndexFunc(k.Path, func(p *kong.Path) bool { return p.Flag == flag })
		isSet := func(name string) bool { return getenv(name) != "" }
		switch {
		case path >= 0 && !k.Path[path].Resolved:
			s.From = fromFlag
		case path >= 0:
			s.Variable = flag.Envs[slices.IndexFunc(flag.Envs, isSet)]
			s.From = of(s.Variable)
		case s.Value != nil:
			if s.Variable = addonOf(flag, getenv); s.Variable != "" {
				s.From = fromAddon
			}
		}
		all = append(all, s)
	}
	for _, v := range otherVariables {
		s := setting{Name: "$" + v.name, From: fromDefault}
		if value := getenv(v.name); value != "" {
			value = masked(v.secret, value)
			s.Value, s.From = &value, of(v.name)
		}
		all = append(all, s)
	}
	return all
}

// addonOf returns the variable of a PaaS that a flag's value comes from, or "". The variable
// has that value, or the value was made from it.
func addonOf(flag *kong.Flag, getenv environment) (name string) {
	for _, addon := range strings.Split(flag.Tag.Get("addon"), ",") {
		switch value := getenv(addon); {
		case value != "" && value == fmt.Sprint(flag.Target.Interface()):
			return addon
		case value != "" && name == "":
			name = addon
		}
	}
	return name
}

// shown returns the value of a flag for people, or nil if it is not set.
func shown(flag *kong.Flag) *string {
	value := flag.Target
	for value.Kind() == reflect.Pointer && !value.IsNil() {
		value = value.Elem()
	}
	if value.Kind() == reflect.Pointer || value.Kind() != reflect.Bool && value.IsZero() && flag.Default == "" {
		return nil
	}
	text := fmt.Sprint(value.Interface())
	if value.Kind() == reflect.Slice {
		var parts []string
		for i := range value.Len() {
			parts = append(parts, fmt.Sprint(value.Index(i).Interface()))
		}
		text = strings.Join(parts, ",")
	}
	text = masked(secretOf(flag), text)
	return &text
}

// secretOf returns which part of a flag's value is secret, "" for none.
func secretOf(flag *kong.Flag) string {
	if !flag.Tag.Has("secret") {
		return ""
	}
	return cmp.Or(flag.Tag.Get("secret"), secretAll)
}

// The values of the tag secret: which part of a flag's value is secret. An empty tag is
// secretAll.
const (
	secretAll = "all"
	secretURL = "url" // the user, the password and the query of a URL
	secretDSN = "dsn" // the password of a DSN
)

const mask = "***"

// masked returns a value without its secrets.
func masked(secret, value string) string {
	switch secret {
	case "":
		return value
	case secretURL:
		u, err := url.Parse(value)
		if err != nil || u.Host == "" {
			return mask
		}
		user, query := "", ""
		if u.User != nil {
			user = mask + "@"
		}
		if u.RawQuery != "" {
			query = "?" + mask
		}
		return u.Scheme + "://" + user + u.Host + u.EscapedPath() + query
	case secretDSN:
		cfg, _, err := slowops.ParseDSN(value)
		if err != nil {
			return mask
		}
		if cfg.Passwd != "" {
			cfg.Passwd = mask
		}
		return cfg.FormatDSN()
	}
	return mask
}
