package report

import (
	"image/color"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"gotimeout/internal/results"
	"gotimeout/strategies"
)

// strategyColours are those of Okabe and Ito, which most colour-blind people can
// tell apart, each darker or lighter where it needs to be to stand out from the
// page by 3:1. The first is the baseline's.
var strategyColours = []struct{ light, dark string }{
	{"#6b7078", "#a7adb5"}, // grey
	{"#d55e00", "#e8702a"}, // vermillion
	{"#0072b2", "#3d9bdc"}, // blue
	{"#b5568c", "#d58ab5"}, // reddish purple
	{"#008a65", "#1fb88f"}, // bluish green
	{"#a87400", "#e69f00"}, // orange
	{"#2b8cc4", "#8fd0f5"}, // sky blue
	{"#857c00", "#f0e442"}, // yellow
}

// look is how a strategy appears in every picture.
type look struct {
	colour color.Color
	dashes []vg.Length
	marker draw.GlyphDrawer
	place  int // among the strategies
}

// lookOf returns that of a strategy: the same in each picture, page and
// comparison. Strategies that are not the project's follow in the order of rows.
func lookOf(name string, rows []*results.Row) look {
	var names []string
	for _, s := range strategies.All() {
		names = append(names, s.Name)
	}
	for _, r := range rows {
		if !slices.Contains(names, r.Strategy) {
			names = append(names, r.Strategy)
		}
	}
	place := max(0, slices.Index(names, name))
	dashes := [][]vg.Length{nil, {7, 2}, {2, 2}, {7, 2, 2, 2}, {4, 3}, {10, 3}, {1, 2}}
	markers := []draw.GlyphDrawer{
		draw.CrossGlyph{}, draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.RingGlyph{}, draw.BoxGlyph{},
		draw.PyramidGlyph{}, draw.PlusGlyph{},
	}
	return look{
		colour: standIn(uint8(firstStrategyInk + place%len(strategyColours))),
		dashes: dashes[place%len(dashes)],
		marker: markers[place%len(markers)],
		place:  place,
	}
}

// strategyNamed is a strategy of the project, or the zero Strategy.
func strategyNamed(name string) strategies.Strategy {
	for _, s := range strategies.All() {
		if s.Name == name {
			return s
		}
	}
	return strategies.Strategy{}
}
