package main

import (
	"cmp"
	"io"
	"slices"

	"gotimeout/internal/load"
	"gotimeout/internal/prose"
	"gotimeout/strategies"
)

// strategyNames are the names of this program's strategies.
func strategyNames() (all []string) {
	for _, s := range strategies.All() {
		all = append(all, s.Name)
	}
	return all
}

// emit prints the plan as a script for k6. It asks no lab: the strategies are
// this program's, and the script finds out whether a lab has the rest.
func (c *compareCmd) emit(w io.Writer, plan load.Plan) error {
	if c.Out != "" || c.HTML != "" {
		return usagef("--emit runs nothing, and has no results: leave --out and --html out")
	}
	all := strategyNames()
	if len(plan.Strategies) == 0 {
		plan.Strategies = all
	}
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
