package main

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"gotimeout/internal/lab"
	"gotimeout/internal/load"
	"gotimeout/internal/wire"

	"github.com/alecthomas/kong"
)

// labFlags are the settings of a lab's ops, for each command that opens a lab.
type labFlags struct {
	Ops  kong.Plugins `embed:""` // each a lab.Op, whose settings are flags
	Name string       `env:"GOTIMEOUT_NAME" placeholder:"TEXT" help:"What your own call is called where it is shown, instead of its host and path."`
}

func newLabFlags() (f labFlags) {
	for _, op := range lab.Ops() {
		f.Ops = append(f.Ops, op)
	}
	return f
}

// environmentGiven are the flags of a command line that have environment variables, as
// NAME=VALUE: a process that is started gets them so.
func environmentGiven(c *kong.Context) (env []string) {
	for _, at := range c.Path {
		if at.Flag == nil || at.Resolved || len(at.Flag.Envs) == 0 {
			continue
		}
		value := at.Flag.Target.String()
		switch at.Flag.Target.Kind() {
		case reflect.Bool:
			value = "true"
		case reflect.Slice:
			value = strings.Join(at.Flag.Target.Interface().([]string), "\n")
		}
		env = append(env, at.Flag.Envs[0]+"="+value)
	}
	return env
}

// ofLab refuses flags of a lab where the command starts none.
func ofLab(env []string, other string) error {
	if len(env) == 0 {
		return nil
	}
	name, _, _ := strings.Cut(env[0], "=")
	return usagef("%s starts no lab, and the setting %s is of one: start that lab with it", other, name)
}

// fillIn gives a plan what was not asked for: the lab's strategies, its own call
// where it has one, and else the ops and the delays of otherwise.
func fillIn(p *load.Plan, f wire.Lab, otherwise load.Plan) {
	var own, fixed []string // ops that have a delay of their own
	for _, op := range f.Ops {
		if op.Own != nil {
			own = append(own, op.Name)
		}
		if op.NoDelay != "" {
			fixed = append(fixed, op.Name)
		}
	}
	if len(p.Strategies) == 0 {
		p.Strategies = f.Strategies
	}
	if len(p.Ops) == 0 {
		p.Ops = otherwise.Ops
		if len(own) == 1 {
			p.Ops = own
		}
	}
	if p.Delays == nil {
		p.Delays = otherwise.Delays
		if !slices.ContainsFunc(p.Ops, func(name string) bool { return !slices.Contains(fixed, name) }) {
			p.Delays = []time.Duration{0}
		}
	}
}
