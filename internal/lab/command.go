package lab

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"strings"

	"gotimeout/handlers"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/receipt"
	"gotimeout/slowops"
)

// commandOp runs an own program. A lab without a program has no op command.
type commandOp struct {
	Command string `name:"command" env:"GOTIMEOUT_COMMAND" placeholder:"'PROGRAM ARG...'" secret:"" help:"Your own call as the op command: this program with its arguments, in which '', \"\" and \\ quote. Aware, it is killed with its process group; its output is dropped."`
	Shell   bool   `name:"shell" env:"GOTIMEOUT_SHELL" help:"Have a shell read --command, with its pipes and variables."`

	words []string
}

func (o *commandOp) Read(func(string) string) (notes []string, err error) {
	switch {
	case o.Command == "" && o.Shell:
		return nil, errors.New("--shell (GOTIMEOUT_SHELL) reads a command, and there is none: give it by --command")
	case o.Shell && runtime.GOOS == "windows":
		o.words = []string{"cmd", "/C", o.Command}
	case o.Shell:
		o.words = []string{"sh", "-c", o.Command}
	case o.Command != "":
		if o.words = words(o.Command); len(o.words) == 0 || o.words[0] == "" {
			return nil, errors.New("--command (GOTIMEOUT_COMMAND) names no program, or has a quote without its end: write 'PROGRAM ARG...'")
		}
	}
	return nil, nil
}

// words returns the words of a command line, or nil if a quote has no end. Between single
// quotes every character stands for itself. Elsewhere a \ makes the next character do so.
func words(line string) (all []string) {
	var word []rune
	var quote rune
	began, escaped := false, false
	for _, r := range line {
		switch {
		case escaped:
			if quote == '"' && r != '"' && r != '\\' {
				word = append(word, '\\')
			}
			word, escaped = append(word, r), false
		case r == '\\' && quote != '\'' && runtime.GOOS != "windows":
			began, escaped = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word = append(word, r)
		case r == '\'' || r == '"':
			began, quote = true, r
		case strings.ContainsRune(" \t\n", r):
			if began {
				all = append(all, string(word))
			}
			word, began = nil, false
		default:
			word, began = append(word, r), true
		}
	}
	if quote != 0 || escaped {
		return nil
	}
	if began {
		all = append(all, string(word))
	}
	return all
}

func (o *commandOp) ownName() string {
	switch {
	case o.Command == "":
		return ""
	case o.Shell:
		return "a command of the shell"
	}
	return "the program " + filepath.Base(o.words[0])
}

func (o *commandOp) noNetwork() error {
	if o.Command == "" {
		return nil
	}
	return errors.New("--command (GOTIMEOUT_COMMAND) can't be on the lab's network, which lies between the lab and its backends, and not around a program: leave --network out, or put it around the program, as in --command 'gotimeout network run 3g -- PROGRAM'")
}

func (*commandOp) server() *private.Server { return nil }

// runProgram runs a program until it ends, or the lab is closed, which waits for the end of each.
func (l *Lab) runProgram(ctx context.Context, m slowops.Command, c slowops.Call) error {
	l.programs.RLock()
	defer l.programs.RUnlock()
	m.Life = l.life
	return m.Do(ctx, c)
}

// openPrograms has Close end the programs that run.
func (l *Lab) openPrograms() {
	life, end := context.WithCancel(context.Background())
	l.life = life
	l.atClose(func() {
		end()
		l.programs.Lock()
		defer l.programs.Unlock()
	})
}

func (o *commandOp) open(l *Lab) (handlers.Op, error) {
	if o.Command == "" {
		return handlers.Op{}, nil
	}
	program := slowops.Command{Name: o.words[0], Args: o.words[1:], InGroup: l.isChild()}
	op := handlers.Op{
		Name: "command", Noun: "what the program called",
		Lacks: lacksAll("the lab knows no timeouts of a program: write them into --command"),
		Parts: []handlers.Part{func(ctx context.Context, c slowops.Call) error {
			c.Orphaned = func() { l.report(c.Run, (*receipt.Receipt).Orphaned) }
			return l.runProgram(ctx, program, c)
		}},
	}
	l.makeOwn(&op, o.ownName())
	return op, nil
}
