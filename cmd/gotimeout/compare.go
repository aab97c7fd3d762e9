package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/lab"
	"gotimeout/internal/load"
	"gotimeout/internal/prose"
	"gotimeout/internal/report"
	"gotimeout/internal/results"
	"gotimeout/internal/wire"

	"github.com/alecthomas/kong"
)

type compareCmd struct {
	envFlags

	URL        string   `placeholder:"URL" help:"The URL of a running lab, such as http://127.0.0.1:8000. Without --url, compare starts a lab, with the flags and environment variables of serve for its backends."`
	Strategies []string `placeholder:"NAME" predictor:"strategy" help:"The strategies to compare (default: all)."`
	Ops        []string `placeholder:"NAME" help:"The ops to compare the strategies on (default: your own call, or else http,cache,db)."`
	Ctx        []string `default:"aware" enum:"{ctxs}" help:"Whether the ops honour their context (aware), ignore it (deaf), or both."`
	Network    []string `sep:"none" placeholder:"PROFILE" predictor:"profile" help:"A network to compare the strategies on: a preset such as 3g, or keys such as 'delay=100ms loss=1%' (default: the lab's network as it is). Repeat the flag for several networks."`
	loadFlags

	Out    string   `placeholder:"FILE" predictor:"file" help:"Write the records to this file, as JSON lines, which gotimeout report reads."`
	HTML   string   `placeholder:"FILE" predictor:"file" help:"Write a page with pictures to this file."`
	FailIf []string `sep:"none" placeholder:"CONDITION" help:"Exit with status 3 if the condition holds, such as 'context-cancel.overshoot_p99_ms > 50'. A condition without a strategy is about all of them. Repeat the flag for several conditions."`
	JSON   bool     `name:"json" help:"Print the results as one JSON object instead of tables."`
	Wide   bool     `help:"Print all columns in the tables, not only those that a choice is made by."`
	Quiet  bool     `help:"Print nothing before the results."`
	Emit   string   `enum:"k6," default:"" placeholder:"k6" help:"Run nothing, and print the comparison as a script for k6, with a threshold for each --fail-if."`

	labFlags
}

// Help returns the text of the help above the flags. kong calls it.
func (compareCmd) Help() string {
	return `Compare puts each strategy under the same open-loop load on each op: it sends each
request when it is due, with slow and fast calls in turn. Then it waits until all
work has ended, and makes clean calls to see whether the service still works. The
floor is the baseline under calls that end in time: what the machine adds.
The strategies are ` + strings.Join(strategyNames(), ", ") + `.

  gotimeout compare
  gotimeout compare --ops db --network 3g --network none --html page.html
  gotimeout compare --fail-if 'probe_failures > 0' --out results.jsonl
  gotimeout compare --ops http --emit k6 > compare.js && k6 run compare.js

The exit status is 0, 1 where the comparison could not be run, 3 where a --fail-if
holds, and 130 after Ctrl-C, which ends the cell and reports the cells until then.`
}

// exitCondition is the exit code if a --fail-if condition is true.
const exitCondition = 3

// Run runs a comparison. kong calls it.
func (c *compareCmd) Run(ctx context.Context, getenv environment, to streams, typed *kong.Context) error {
	plan, err := c.plan()
	if err != nil {
		return err
	}
	env := environmentGiven(typed)
	if c.Emit != "" {
		if err := ofLab(env, "--emit"); err != nil {
			return err
		}
		return c.emit(to.out, plan)
	}
	lab, closeLab, err := openLab(ctx, c.URL, getenv("GOTIMEOUT_TOKEN"), &plan, usually, env, c.EnvFile.args()...)
	if err != nil {
		return interrupted(ctx, to, false, err)
	}
	defer closeLab()
	conditions, err := parseConditions(c.FailIf, plan.Strategies)
	if err != nil {
		return err
	}
	keep, err := openKeeper(c.Out, c.HTML)
	if err != nil {
		return err
	}
	err = c.compare(ctx, to, lab, plan, keep, commandLine(typed))
	r := keep.collector.Results()
	if len(r.Rows) > 0 {
		format := "table"
		if c.JSON {
			format = "json"
		}
		err = errors.Join(err, report.Write(to.out, format, report.Terminal{Width: to.columns(to.out), Wide: c.Wide}, r), keep.page(func(w io.Writer) error { return report.HTML(w, r, conditions...) }))
	}
	if err != nil || ctx.Err() != nil {
		return interrupted(ctx, to, len(r.Rows) > 0, err)
	}
	return judge(to, conditions, r)
}

// compare runs the plan, writes its records, and shows the results.
func (c *compareCmd) compare(ctx context.Context, to streams, lab *load.Lab, plan load.Plan, keep *keeper, command string) error {
	show := newProgress(to, c.Quiet)
	defer context.AfterFunc(ctx, show.interrupted)()
	comparison := &load.Comparison{
		Lab: lab, Own: c.URL == "", Command: command, Plan: plan,
		Record: func(record any) error {
			err := keep.record(record)
			show.record(record, keep.collector.Results())
			return err
		},
		Show: show.progress,
	}
	err := comparison.Run(ctx)
	show.end()
	return cmp.Or(err, keep.close())
}

// interrupted returns the exit status of a signal if there was one, and else err. Results
// that are shown have a sentence on the interrupt.
func interrupted(ctx context.Context, to streams, shown bool, err error) error {
	switch {
	case ctx.Err() == nil:
		return ofPlan(err)
	case shown:
		return exitStatus(exitInterrupted)
	}
	return to.interrupted("there are no figures yet")
}

// ofPlan turns the error of a plan that can't be run into a usageError.
func ofPlan(err error) error {
	if _, ok := errors.AsType[*load.PlanError](err); ok {
		return usageError{err}
	}
	return err
}

// usually has the ops and delays of a comparison without --ops, --delay and an own call.
var usually = load.Plan{
	Ops:    []string{"http", "cache", "db"},
	Delays: []time.Duration{10 * time.Millisecond, 10 * time.Millisecond, 10 * time.Millisecond, time.Second},
}

// plan reads the flags.
func (c *compareCmd) plan() (load.Plan, error) {
	p := load.Plan{
		Strategies: c.Strategies, Ops: c.Ops, Ctxs: c.Ctx, Networks: c.Network,
		Delays: c.Delay, Timeouts: []time.Duration{c.Timeout},
		Rate: float64(c.Rate), Duration: c.Duration, Repeat: c.Repeat,
	}
	if err := checkNetworks(c.Network); err != nil {
		return p, err
	}
	return p, c.loadFlags.check()
}

// checkNetworks checks the values of --network.
func checkNetworks(profiles []string) error {
	for _, text := range profiles {
		if _, err := badnet.Parse(text); err != nil {
			return usagef("--network: %w", err)
		}
	}
	return nil
}

// judge prints the conditions that are true.
func judge(to streams, conditions []report.Condition, r *results.Results) error {
	failed := false
	for _, condition := range conditions {
		for _, violation := range condition.Check(r) {
			failed = true
			fmt.Fprintf(to.err, "gotimeout: --fail-if: %s\n", violation)
		}
	}
	if failed {
		return exitStatus(exitCondition)
	}
	return nil
}

func parseConditions(texts, strategies []string) (all []report.Condition, err error) {
	for _, text := range texts {
		condition, err := report.ParseCondition(text, strategies)
		if err != nil {
			return nil, usagef("--fail-if: %w", err)
		}
		all = append(all, condition)
	}
	return all, nil
}

// loadFlags are the flags about the load of a comparison.
type loadFlags struct {
	Timeout  time.Duration   `default:"250ms" help:"The timeout of each request."`
	Delay    []time.Duration `placeholder:"10ms,10ms,10ms,1s" help:"How long the slow work takes. Several durations are taken in turn, one for each request. Your own call has no delay."`
	Rate     rate            `default:"200" help:"Requests a second, or as 30/m or 2/h. Each is sent when it is due, whether or not earlier ones were answered."`
	Duration time.Duration   `default:"2s" help:"How long the load of each cell lasts."`
	Repeat   int             `default:"1" help:"How often the whole comparison is run. 5 repeats tell a change from noise."`
}

// The limits of a comparison's load, which is made for one machine with a lab.
const (
	maxRate   = 100_000
	minRate   = 1.0 / 3600
	maxRepeat = 100
)

func (l loadFlags) check() error {
	switch {
	case l.Timeout == 0:
		return usagef("--timeout is 0, which bounds nothing: it must be over 0")
	case l.Delay != nil && len(l.Delay) == 0:
		return usagef("--delay is empty: give it a duration, as 1s, or several, as 10ms,1s")
	case l.Duration < 100*time.Millisecond || l.Duration > time.Hour:
		return usagef("--duration is %s: use 100ms to 1h", l.Duration)
	case float64(l.Rate)*l.Duration.Seconds() < 1:
		return usagef("--rate %s for --duration %s is no request at all: raise one of them", l.Rate, l.Duration)
	case l.Repeat < 1 || l.Repeat > maxRepeat:
		return usagef("--repeat is %d: use 1 to %d", l.Repeat, maxRepeat)
	}
	return nil
}

// rate is a number of requests a second.
type rate float64

// rateUnits are the units of a rate, the shortest first.
var rateUnits = []struct {
	name    string
	seconds float64
}{{"s", 1}, {"m", 60}, {"h", 3600}}

// String writes the rate in the shortest unit with at least one request.
func (r rate) String() string {
	text := ""
	for _, unit := range rateUnits {
		n := float64(r) * unit.seconds
		text = strconv.FormatFloat(n, 'g', 6, 64) + "/" + unit.name
		if n >= 1 {
			break
		}
	}
	return text
}

// UnmarshalText reads 0.5, 100/s, 30/m or 2/h. kong calls it.
func (r *rate) UnmarshalText(text []byte) error {
	number, name, given := strings.Cut(string(text), "/")
	n, err := strconv.ParseFloat(number, 64)
	for _, unit := range rateUnits {
		if unit.name == name || !given {
			*r = rate(n / unit.seconds)
			switch {
			case err != nil && !errors.Is(err, strconv.ErrRange), math.IsNaN(n):
				return noRate(text)
			case !(*r >= minRate && *r <= maxRate):
				return fmt.Errorf("%q is out of range: use %s to %s", text, rate(minRate), rate(maxRate))
			}
			return nil
		}
	}
	return noRate(text)
}

func noRate(text []byte) error {
	return fmt.Errorf("%q is no rate: write 0.5 or 100/s for requests a second, 30/m or 2/h", text)
}

// plain has the characters without a meaning for a shell.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=.,:/%+@"

// commandLine returns the command line, quoted for a shell, without the values that may
// be secret.
func commandLine(typed *kong.Context) string {
	secrets := map[string]string{}
	for _, flag := range typed.Flags() {
		secrets["--"+flag.Name] = secretOf(flag)
	}
	words, secret := []string{"gotimeout"}, ""
	for _, word := range typed.Args {
		name, value, joined := strings.Cut(word, "=")
		switch {
		case secret != "":
			word, secret = masked(secret, word), ""
		case joined && secrets[name] != "":
			word = name + "=" + masked(secrets[name], value)
		default:
			secret = secrets[name]
		}
		if word == "" || strings.Trim(word, plain) != "" {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// strategyNames returns the names of this program's strategies.
func strategyNames() (all []string) {
	for _, s := range lab.Strategies() {
		all = append(all, s.Name)
	}
	return all
}

// emit prints the plan as a script for k6, without a lab: the strategies are those of this
// program, and the script finds out whether a lab has the rest.
func (c *compareCmd) emit(w io.Writer, plan load.Plan) error {
	if c.Out != "" || c.HTML != "" {
		return usagef("--emit runs nothing, and has no results: leave --out and --html out")
	}
	all := strategyNames()
	of := wire.Lab{Strategies: all, Only: wire.Only{}}
	for _, s := range lab.Strategies() {
		if s.Only != nil {
			of.Only[s.Name] = s.Only
		}
	}
	fillIn(&plan, of, usually)
	for _, name := range plan.Strategies {
		if !slices.Contains(all, name) {
			return usagef("--strategies: %s", prose.Unknown("strategy", name, all))
		}
	}
	conditions, err := parseConditions(c.FailIf, plan.Strategies)
	if err != nil {
		return err
	}
	var thresholds []load.Threshold
	for _, of := range conditions {
		thresholds = append(thresholds, load.Threshold{Strategy: of.Strategy, Column: of.Column.Name, Op: of.Op, Limit: of.Limit})
	}
	return ofPlan(plan.K6(w, cmp.Or(c.URL, "http://127.0.0.1:8000"), thresholds))
}
