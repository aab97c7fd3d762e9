// Command gotimeout serves a lab about timeouts: the same slow call behind each
// way that Go offers to time out. It reads the command line and the
// environment, joins backends, ops, strategies and handlers, and refuses
// settings that it can't read before it starts anything.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gotimeout/internal/lab"
	"gotimeout/internal/machine"
	"gotimeout/internal/prose"
	"gotimeout/internal/replay"
	"gotimeout/internal/wire"

	"github.com/alecthomas/kong"
	"golang.org/x/term"
)

func main() {
	startWithoutGC()
	if lab.IsChild(os.Args) {
		os.Exit(fail(os.Stderr, lab.Child(context.Background(), os.Stdin, os.Stdout), ""))
	}
	if replay.IsTrial(os.Args) {
		os.Exit(replay.Trial(context.Background(), os.Args, os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// startWithoutGC has the garbage collector begin at 32 MB in the first second, and at 4 MB, as always, after
// that. To look through all variables of the program once takes a short command longer than its work.
func startWithoutGC() {
	if os.Getenv("GOGC") != "" {
		return
	}
	const percent, usual = 800, 100
	debug.SetGCPercent(percent)
	time.AfterFunc(time.Second, func() { debug.SetGCPercent(usual) })
}

// The exit codes other than 0.
const (
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130 // a signal ended the program; shells use the same code
)

type cli struct {
	PrintVersion kong.VersionFlag `name:"version" help:"Print the version and exit."`

	Serve     serveCmd     `cmd:"" default:"withargs" help:"Serve the lab. This is what gotimeout does without a command."`
	Worker    workerCmd    `cmd:"" help:"Make the jobs of the queue that a lab's offload fills, on this machine."`
	Config    configCmd    `cmd:"" help:"Show every setting of serve: its value, and where it came from."`
	Compare   compareCmd   `cmd:"" help:"Put every strategy under load, and show what each costs and leaves behind."`
	Atlas     atlasCmd     `cmd:"" help:"Say of each client what its context, its own timeouts and a limit in its server do, and what to set."`
	Recommend recommendCmd `cmd:"" help:"Find the least timeout that cuts no more than a share of the calls that would have completed."`
	Network   networkCmd   `cmd:"" help:"Run any program on a bad network, measure one, and list the presets and drivers."`
	Timewait  timewaitCmd  `cmd:"" help:"Show by experiment what TIME-WAIT is, what leaves it behind and what helps."`
	Replay    replayCmd    `cmd:"" help:"Run a known issue about timeouts on this machine, beside the same with its remedy."`
	Report    reportCmd    `cmd:"" help:"Show the records of a comparison, or what differs between two."`

	Explain explainCmd `cmd:"" help:"Say what a message of a timeout comes from and what to do, or what a column of compare means."`
	Code    codeCmd    `cmd:"" help:"Print the Go code of a strategy with an op, to copy."`

	Help       helpCmd       `cmd:"" help:"Show what a command does and its flags."`
	Completion completionCmd `cmd:"" help:"Print a script that makes a shell complete the commands, flags and names."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

// streams has the outputs of a command: out for its results, err for everything else.
type streams struct {
	out, err io.Writer
	asked    string // the value of COLUMNS
}

// columns returns the width for text on a stream: that of COLUMNS or of the terminal, from
// 40 to 200, or 80 if the stream is no terminal.
func (s streams) columns(of io.Writer) int {
	width, err := strconv.Atoi(s.asked)
	if file, ok := of.(*os.File); ok && err != nil {
		width, _, err = term.GetSize(int(file.Fd()))
	}
	if err != nil || width <= 0 {
		return 80
	}
	return min(max(width, 40), 200)
}

// terminal tells whether err is a terminal.
func (s streams) terminal() bool {
	file, ok := s.err.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// interrupted prints what a signal has left undone, and returns the exit status.
func (s streams) interrupted(missing string) exitStatus {
	fmt.Fprintf(s.err, "gotimeout: interrupted: %s\n", missing)
	return exitInterrupted
}

// environment returns the value of an environment variable, or "".
type environment func(name string) string

// exitStatus is an error that is already printed, or needs no message.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// usageError is the error for a bad value of a flag, an argument or an environment
// variable. The exit code is then 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usagef makes a usageError, whose sentence says what is wrong and what is allowed.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run is the program as a function of its arguments, environment and outputs. It returns
// the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) (code int) {
	type exit int
	defer func() {
		if v := recover(); v != nil {
			c, ok := v.(exit)
			if !ok {
				panic(v)
			}
			code = int(c)
		}
	}()
	to := streams{stdout, stderr, getenv("COLUMNS")}
	parser, err := newParser(newCLI(), getenv,
		kong.Writers(stdout, stderr),
		kong.Help(func(_ kong.HelpOptions, c *kong.Context) error { return printHelp(to, c) }),
		kong.Exit(func(code int) { panic(exit(code)) }), // after --help
	)
	if err != nil {
		panic(err) // only a wrong struct tag, which any test finds
	}
	if getenv("COMP_LINE") != "" {
		if done, err := completeLine(parser); done || err != nil {
			return fail(stderr, err, "")
		}
	}
	command, err := parser.Parse(args)
	var parse *kong.ParseError
	switch {
	case errors.As(err, &parse):
		return fail(stderr, usageError{plainer(parse)}, wrong{parse.Context}.command())
	case err != nil:
		return fail(stderr, err, "")
	}
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(to, variables(command, getenv))
	return fail(stderr, command.Run(), wrong{command}.command())
}

// fail prints an error in one line and returns the exit code. For a usageError it also names
// the command of the help.
func fail(stderr io.Writer, err error, command string) (code int) {
	var status exitStatus
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	}
	fmt.Fprintf(stderr, "gotimeout: %s\n", prose.OneLine(err))
	if errors.As(err, &usage) {
		fmt.Fprintf(stderr, "run %s --help\n", strings.TrimSpace("gotimeout "+command))
		return exitUsage
	}
	return exitFailure
}

// newParser makes the parser of the command line. A flag that is not given gets the value of
// its variable, from the environment or --env-file. kong itself would read only the
// environment of the process.
func newParser(c *cli, getenv func(string) string, more ...kong.Option) (*kong.Kong, error) {
	var read environment // once the command line is parsed
	parser, err := kong.New(c, append(more,
		kong.Name("gotimeout"),
		kong.Description("A lab about timeouts: the same slow call behind each way that Go offers to time out."),
		kong.Vars{"version": fmt.Sprintf("gotimeout %s (%s, %s/%s)", machine.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)},
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(duration)),
		kong.Resolvers(kong.ResolverFunc(func(c *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
			if read == nil {
				read = variables(c, getenv)
			}
			for _, name := range flag.Envs {
				if value := read(name); value != "" {
					return value, nil
				}
			}
			return nil, nil
		})),
	)...)
	if err != nil {
		return nil, err
	}
	parser.Model.HelpFlag.Help = "Show the help of a command and exit."
	lists := strings.NewReplacer(append(driverLists(),
		"{reportFormats}", reportFormats(), "{experiments}", strings.Join(experimentNames(), ", "),
		"{strategies}", strings.Join(strategyNames(), ", "), "{ctxs}", strings.Join(wire.Ctxs(), ", "))...)
	return parser, kong.Visit(parser.Model.Node, func(node kong.Visitable, next kong.Next) error {
		switch node := node.(type) {
		case *kong.Flag:
			node.Tag.Envs = nil // flag.Envs keeps them
		case *kong.Value:
			// No kong.Vars: kong would go through all of them again for each flag, a quarter of the time of a start.
			node.Enum, node.Help = lists.Replace(node.Enum), lists.Replace(node.Help)
		}
		return next(nil)
	})
}
