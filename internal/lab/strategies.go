package lab

import (
	"slices"

	"gotimeout/strategies"
	"gotimeout/strategies/chitimeout"
	"gotimeout/strategies/failsafetimeout"
)

// Strategies returns every strategy, new: those of package strategies and those that need a
// library. They are in the order of the page, which is that of their families.
func Strategies() []strategies.Strategy {
	all := append(strategies.All(), failsafetimeout.Strategy(), chitimeout.Strategy())
	families := strategies.Families()
	slices.SortStableFunc(all, func(a, b strategies.Strategy) int {
		return slices.Index(families, a.Family) - slices.Index(families, b.Family)
	})
	return all
}
