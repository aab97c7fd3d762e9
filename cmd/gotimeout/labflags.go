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
	Ops  kong.Plugins `embed:""` // the values of lab.Op, whose settings are flags
	Name string       `env:"GOTIMEOUT_NAME" placeholder:"TEXT" help:"What your own call is called where it is shown, instead of its host and path."`
}

func newLabFlags() (f labFlags) {
	for _, op := range lab.Ops() {
		f.Ops = append(f.Ops, op)
	}
	return f
}

// environmentGiven returns the flags of a command line that have environment variables, as
// NAME=VALUE for the environment of a lab's process.
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

// ofLab refuses the flags of a lab if the command starts no lab.
func ofLab(env []string, other string) error {
	if len(env) == 0 {
		return nil
	}
	name, _, _ := strings.Cut(env[0], "=")
	return usagef("%s starts no lab, and the setting %s is of one: start that lab with it", other, name)
}

// fillIn sets the parts of a plan that no flag sets: the lab's own call or else the ops and
// the delays of otherwise, and the lab's strategies for these ops.
func fillIn(p *load.Plan, f wire.Lab, otherwise load.Plan) {
	var own, fixed []string // the ops of own calls, and the ops without a delay
	for _, op := range f.Ops {
		if op.Own != nil {
			own = append(own, op.Name)
		}
		if op.NoDelay != "" {
			fixed = append(fixed, op.Name)
		}
	}
	if len(p.Ops) == 0 {
		p.Ops = otherwise.Ops
		if len(own) == 1 {
			p.Ops = own
		}
	}
	p.Only = f.Only
	if len(p.Strategies) == 0 {
		for _, name := range f.Strategies {
			if slices.ContainsFunc(p.Ops, func(op string) bool { return p.Only.Suits(name, op) }) {
				p.Strategies = append(p.Strategies, name)
			}
		}
	}
	if p.Delays == nil {
		p.Delays = otherwise.Delays
		if !slices.ContainsFunc(p.Ops, func(name string) bool { return !slices.Contains(fixed, name) }) {
			p.Delays = []time.Duration{0}
		}
	}
}
