package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"gotimeout/internal/badnet"
	"gotimeout/internal/prose"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"
	"github.com/posener/complete"
)

type versionCmd struct{}

// Run prints the version. kong calls it.
func (versionCmd) Run(to streams, vars kong.Vars) error {
	_, err := fmt.Fprintln(to.out, vars["version"])
	return err
}

type helpCmd struct {
	Command []string `arg:"" optional:"" predictor:"command" help:"The command, as network run. Without it the help lists them all."`
}

// Run prints the help of a command, as --help does. kong calls it.
func (c helpCmd) Run(ctx context.Context, getenv environment, to streams) error {
	return exitStatus(run(ctx, append(c.Command, "--help"), getenv, to.out, to.err))
}

// twoColumns is the least width at which the help of a flag is beside its name.
const twoColumns = 72

// helpText writes the text of a help.
type helpText struct {
	strings.Builder
	width int
}

// printHelp prints the help of the named command, as wide as the terminal. kong's own help
// puts the help of the flags beside their names, which leaves one word a line on 40 columns.
func printHelp(to streams, c *kong.Context) error {
	h := &helpText{width: to.columns(to.out)}
	node, usage := c.Model.Node, c.Model.Name+c.Model.Summary()
	if named := c.Selected(); named != nil {
		node, usage = named, c.Model.Name+" "+named.Summary()
	}
	h.paragraph("Usage: "+usage, 0, 2)
	for text := range strings.SplitSeq(node.Help+"\n\n"+node.Detail, "\n\n") {
		h.block(text)
	}
	if len(node.Positional) > 0 {
		var entries [][2]string
		for _, argument := range node.Positional {
			entries = append(entries, [2]string{argument.Summary(), argument.Help})
		}
		h.WriteString("\nArguments:\n")
		h.entries(entries)
	}
	var flags [][2]string
	for _, group := range slices.Backward(node.AllFlags(true)) { // the command's own flags come first
		for _, flag := range group {
			flags = append(flags, [2]string{flagName(flag), flagHelp(flag)})
		}
	}
	h.WriteString("\nFlags:\n")
	h.entries(flags)
	if leaves := node.Leaves(true); len(leaves) > 0 {
		h.WriteString("\nCommands:\n")
		for _, leaf := range leaves {
			h.paragraph(leaf.Summary(), 2, 4)
			h.paragraph(leaf.Help, 4, 4)
			h.WriteString("\n")
		}
		h.paragraph(fmt.Sprintf("Run %q for more about one.", node.FullPath()+" <command> --help"), 0, 0)
	}
	_, err := fmt.Fprint(to.out, h)
	return err
}

// paragraph writes wrapped text, its first line at column first and the other lines at
// column others.
func (h *helpText) paragraph(text string, first, others int) {
	h.WriteString(strings.Repeat(" ", first) + prose.Hang(text, others, h.width) + "\n")
}

// block writes a paragraph, or lines that are indented as they are.
func (h *helpText) block(text string) {
	if text == "" {
		return
	}
	h.WriteString("\n")
	if !strings.HasPrefix(text, "  ") {
		h.paragraph(text, 0, 0)
		return
	}
	for line := range strings.SplitSeq(text, "\n") {
		h.command(strings.TrimSpace(line))
	}
}

// argument matches a word of a shell's command line, with the quoted parts in it.
var argument = regexp.MustCompile(`(?:'[^']*'|"[^"]*"|\S)+`)

// command writes an example. A line that is broken is still valid for a shell.
func (h *helpText) command(line string) {
	column := 4
	h.WriteString("    ")
	for i, word := range argument.FindAllString(line, -1) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n+2 > h.width:
			h.WriteString(" \\\n      ")
			column = 6
		default:
			h.WriteString(" ")
			column++
		}
		h.WriteString(word)
		column += n
	}
	h.WriteString("\n")
}

// entries writes names and their help: in two columns, or on a narrow terminal one under
// the other.
func (h *helpText) entries(all [][2]string) {
	const indent, most = 2, 30
	column := 0
	for _, e := range all {
		if n := len(e[0]); n <= most {
			column = max(column, indent+n+2)
		}
	}
	for _, e := range all {
		name, help := e[0], e[1]
		switch {
		case h.width < twoColumns:
			h.paragraph(strings.TrimLeft(name, " "), indent, 6)
			h.paragraph(help, 6, 6)
		case indent+len(name)+2 > column:
			fmt.Fprintf(h, "%*s%s\n", indent, "", name)
			h.paragraph(help, column, column)
		default:
			fmt.Fprintf(h, "%*s%-*s%s\n", indent, "", column-indent, name, prose.Hang(help, column, h.width))
		}
	}
}

// flagName returns a flag as it is written, with the placeholder of its value.
func flagName(f *kong.Flag) string {
	switch {
	case f.Short != 0:
		return f.String()
	case f.Tag.Negatable != "":
		return "    " + strings.Replace(f.String(), "--", "--[no-]", 1)
	}
	return "    " + f.String()
}

// flagHelp returns a flag's help, with its environment variable.
func flagHelp(f *kong.Flag) string {
	if len(f.Envs) == 0 {
		return f.Help
	}
	return strings.TrimSuffix(f.Help, ".") + " ($" + strings.Join(f.Envs, ", $") + ")."
}

type completionCmd struct {
	Shell string `arg:"" enum:"bash, zsh, fish" help:"The shell, ${enum}."`
}

// Help returns the text of the help above the flags. kong calls it.
func (completionCmd) Help() string {
	return `Write one of these in the file that the shell reads at its start:

  source <(gotimeout completion bash)    # ~/.bashrc
  source <(gotimeout completion zsh)     # ~/.zshrc
  gotimeout completion fish | source     # ~/.config/fish/config.fish`
}

// script returns a script with which a shell calls the program, with the line in COMP_LINE.
func (c completionCmd) script(program string) string {
	program = "'" + strings.ReplaceAll(program, "'", `'\''`) + "'"
	switch c.Shell {
	case "fish":
		return `function __complete_gotimeout
    set -lx COMP_LINE (commandline -cp)
    test -z (commandline -ct)
    and set COMP_LINE "$COMP_LINE "
    ` + program + `
end
complete -f -c gotimeout -a "(__complete_gotimeout)"
`
	case "zsh":
		return "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }\nautoload -U +X bashcompinit && bashcompinit\ncomplete -o default -C " + program + " gotimeout\n"
	}
	return "complete -o default -C " + program + " gotimeout\n"
}

// Run prints the script. kong calls it.
func (c completionCmd) Run(to streams) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(to.out, c.script(program))
	return err
}

// completeLine prints the words that may come next on the line in COMP_LINE, and reports
// whether a shell has set COMP_LINE.
func completeLine(parser *kong.Kong) (bool, error) {
	var profiles, commands []string
	for _, p := range badnet.Presets() {
		profiles = append(profiles, p.Name)
	}
	for _, child := range parser.Model.Children {
		commands = append(commands, child.Name)
	}
	command, err := kongcompletion.Command(parser,
		kongcompletion.WithPredictor("profile", complete.PredictSet(profiles...)),
		kongcompletion.WithPredictor("replay", complete.PredictSet(replayIDs()...)),
		kongcompletion.WithPredictor("strategy", complete.PredictSet(strategyNames()...)),
		kongcompletion.WithPredictor("command", complete.PredictSet(commands...)),
		kongcompletion.WithPredictor("file", complete.PredictFiles("*")),
	)
	if err != nil {
		return true, err
	}
	command.Flags = command.Sub[parser.Model.DefaultCmd.Name].GlobalFlags // these flags need no command before them
	line := complete.New(parser.Model.Name, command)
	line.Out = parser.Stdout
	return line.Complete(), nil
}
