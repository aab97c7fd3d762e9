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
	"runtime"
	"strings"
	"syscall"

	"gotimeout/internal/machine"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// The exit codes beside 0.
const (
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130 // by a signal, as a shell's
)

type cli struct {
	Version kong.VersionFlag `help:"Print the version and exit."`

	Serve     serveCmd     `cmd:"" default:"withargs" help:"Serve the lab. This is what gotimeout does without a command."`
	Compare   compareCmd   `cmd:"" help:"Put every strategy under load, and show what each costs and leaves behind."`
	Recommend recommendCmd `cmd:"" help:"Find the least timeout that cuts no more than a share of the calls that would have completed."`
	Network   networkCmd   `cmd:"" help:"Bad networks: what works here, presets, checks, and any program on one."`
	Timewait  timewaitCmd  `cmd:"" help:"Show by experiment what TIME-WAIT is, what leaves it behind and what helps."`
	Report    reportCmd    `cmd:"" help:"Show what a comparison recorded, and what differs between two."`
}

// streams are where a command writes: answers to out, all else to err.
type streams struct{ out, err io.Writer }

// exitStatus is an error that has been told, or needs no words: the exit code
// says it all.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// run is the program without its process, and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
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
	parser, err := kong.New(newCLI(),
		kong.Name("gotimeout"),
		kong.Description("A lab about timeouts: the same slow call behind each way that Go offers to time out."),
		kong.Vars{"version": fmt.Sprintf("gotimeout %s (%s, %s/%s)", machine.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH), "reportFormats": reportFormats()},
		kong.Vars{"experiments": strings.Join(experimentNames(), ",")},
		driverVars(),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exit(code)) }), // after --help
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 80}),
	)
	if err != nil {
		panic(err) // only a wrong struct tag, which any test finds
	}
	command, err := parser.Parse(args)
	if err != nil {
		run(ctx, append(commandOf(err), "--help"), stderr, stderr)
		fmt.Fprintf(stderr, "\ngotimeout: %v\n", err) // last, where a small terminal shows it
		return exitUsage
	}
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(streams{stdout, stderr})
	err = command.Run()
	var status exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	}
	fmt.Fprintf(stderr, "gotimeout: %v\n", err)
	return exitFailure
}

// commandOf is the command whose help says what was wrong: the one that was
// named, or serve.
func commandOf(err error) []string {
	var wrong *kong.ParseError
	if !errors.As(err, &wrong) {
		return []string{"serve"}
	}
	var words []string
	for _, step := range wrong.Context.Path {
		if step.Command != nil {
			words = append(words, step.Command.Name)
		}
	}
	if len(words) == 0 {
		return []string{"serve"}
	}
	return words
}
