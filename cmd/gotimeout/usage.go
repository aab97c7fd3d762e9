package main

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gotimeout/internal/prose"

	"github.com/alecthomas/kong"
)

// plainSentences maps kong's errors for a wrong command line to gotimeout's sentences:
// %[1]s is the flag with its environment variable, if it has one, and the rest are words of
// kong's error. The texts are matched because kong's errors have no types.
var plainSentences = sync.OnceValue(func() []plainSentence {
	return []plainSentence{
		{regexp.MustCompile(`^(--\S+): (?:expected .* value but got .*|missing value.*)$`), wrong.missingValue},
		{regexp.MustCompile(`^(--\S+): expected a valid 64 bit u?int but got (".*")$`), wrong.notWhole},
		{regexp.MustCompile(`^(--\S+): bool value must be .* but got (".*")$`), wrong.notBool},
		{regexp.MustCompile(`^(--\S+|<\S+>) must be one of .* but got (".*")$`), wrong.notListed},
		{regexp.MustCompile(`^unknown flag (.*?)(?:, did you mean.*)?$`), wrong.unknownFlag},
		{regexp.MustCompile(`^unexpected argument (.*?)(?:, did you mean.*)?$`), wrong.unexpected},
		{regexp.MustCompile(`^flag (--\S+) applies to the default command "(.*)", not "(.*)"$`), wrong.tooEarly},
		{regexp.MustCompile(`^expected one of `), wrong.noCommand},
		{regexp.MustCompile(`^expected "(.*)"$`), wrong.missingArgument},
		{regexp.MustCompile(`^missing flags: (.*)$`), wrong.missingArgument},
		{regexp.MustCompile(`^<.*>(?: \.\.\.)?: (.*)$`), func(_ wrong, words []string) string { return words[1] }},
		{regexp.MustCompile(`^(--\S+): (.*)$`), func(w wrong, words []string) string { return w.named(words[1]) + ": " + words[2] }},
	}
})

type plainSentence struct {
	kong *regexp.Regexp
	ours func(w wrong, words []string) string
}

// plainer returns one sentence on what is wrong with a command line and what is allowed. For
// an unknown name it suggests the nearest.
func plainer(err *kong.ParseError) error {
	text := prose.OneLine(err)
	for _, p := range plainSentences() {
		if words := p.kong.FindStringSubmatch(text); words != nil {
			return errors.New(p.ours(wrong{err.Context}, words))
		}
	}
	return err
}

// wrong is a command line as far as kong could read it.
type wrong struct{ *kong.Context }

// node returns the command that kong reached: the default command if none was named, and
// nil for an unknown name, which kong takes for an argument of the default command.
func (w wrong) node() *kong.Node {
	last := w.Path[len(w.Path)-1]
	switch at := len(w.Args) - len(last.Remainder()) - 1; {
	case w.Selected() == nil:
		return w.Model.DefaultCmd
	case last.Command != w.Model.DefaultCmd, len(last.Remainder()) == 0, at >= 0 && w.Args[at] == last.Command.Name:
		return w.Selected()
	}
	return w.Model.Node
}

// command returns the command's name, or "".
func (w wrong) command() string {
	return strings.TrimSpace(strings.TrimPrefix(w.node().FullPath(), w.Model.Name))
}

// flags returns the flags that the command line could have.
func (w wrong) flags() []*kong.Flag {
	if w.Selected() == nil && w.Model.DefaultCmd != nil {
		return append(w.Flags(), w.Model.DefaultCmd.Flags...)
	}
	return w.Flags()
}

// flag returns the flag with a name, which begins with --, or nil.
func (w wrong) flag(name string) *kong.Flag {
	for _, f := range w.flags() {
		if "--"+f.Name == name {
			return f
		}
	}
	return nil
}

// named returns a flag's name with its environment variables, because the value may come from
// one of them.
func (w wrong) named(name string) string {
	if f := w.flag(name); f != nil && len(f.Envs) > 0 {
		name += " (" + strings.Join(f.Envs, ", ") + ")"
	}
	return name
}

func (w wrong) missingValue(words []string) string {
	value := "VALUE"
	if f := w.flag(words[1]); f != nil {
		_, value, _ = strings.Cut(strings.TrimSuffix(f.String(), ",..."), "=")
	}
	return fmt.Sprintf("%s has no value: write %[1]s=%s", words[1], value)
}

func (w wrong) notWhole(words []string) string {
	return fmt.Sprintf("%s is %s: write a whole number", w.named(words[1]), words[2])
}

func (w wrong) notBool(words []string) string {
	return fmt.Sprintf("%s is %s: write true or false", w.named(words[1]), words[2])
}

func (w wrong) notListed(words []string) string {
	values := w.node().Positional
	for _, f := range w.flags() {
		values = append(values, f.Value)
	}
	i := slices.IndexFunc(values, func(v *kong.Value) bool { return v.ShortSummary() == words[1] })
	allowed := slices.DeleteFunc(values[i].EnumSlice(), func(name string) bool { return name == "" })
	return fmt.Sprintf("%s is %s: use %s", w.named(words[1]), words[2], prose.Or(allowed))
}

func (w wrong) unknownFlag(words []string) string {
	var all []string
	for _, f := range w.flags() {
		all = append(all, "--"+f.Name)
	}
	return prose.Unknown("flag", words[1], all)
}

// unexpected returns the sentence on a word that is no command, or on an argument too many.
func (w wrong) unexpected(words []string) string {
	if len(w.node().Children) == 0 {
		return fmt.Sprintf("%s takes no argument %q", w.command(), words[1])
	}
	return prose.Unknown(strings.TrimSpace(w.command()+" command"), words[1], childrenOf(w.node()))
}

func (w wrong) tooEarly(words []string) string {
	return fmt.Sprintf("%s stands before the command %s, and so is a flag of %s: write flags after the command", words[1], words[3], words[2])
}

func (w wrong) noCommand([]string) string {
	return fmt.Sprintf("%s needs a command: %s", w.command(), prose.Or(childrenOf(w.node())))
}

// childrenOf returns the names of a node's commands.
func childrenOf(node *kong.Node) (all []string) {
	for _, child := range node.Children {
		all = append(all, child.Name)
	}
	return all
}

func (w wrong) missingArgument(words []string) string {
	return fmt.Sprintf("%s needs %s", w.command(), words[1])
}

// duration reads a time in the forms of the lab's parameters: as Go writes it, or in plain seconds.
func duration(c *kong.DecodeContext, target reflect.Value) error {
	token, err := c.Scan.PopValue("duration")
	if err != nil {
		return err
	}
	text := token.String()
	d, err := time.ParseDuration(text)
	if seconds, number := strconv.ParseFloat(text, 64); number == nil && seconds < 3600*24 {
		d, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no duration: write 250ms, 1.5s or plain seconds", text)
	}
	if d == 0 && strings.ContainsAny(text, "123456789") {
		return fmt.Errorf("%q is under 1ns: write 0, or 1ns or more", text)
	}
	target.SetInt(int64(d))
	return nil
}
