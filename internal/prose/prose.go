// Package prose writes sentences: words wrapped to the width of a terminal, lists with
// "and" or "or", counted nouns, the names nearest to a mistyped one, and errors in one
// line. Its width counts runes, so it is for text whose runes take one column each.
package prose

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Wrap returns text in lines of at most width columns, each with its newline. A
// word that is longer than a line stays whole.
func Wrap(text string, width int) string { return Hang(text, 0, width) + "\n" }

// Hang returns text in lines of at most width columns, to be written at column
// indent: the lines after the first begin with as many spaces. It ends without a
// newline.
func Hang(text string, indent, width int) string {
	var lines strings.Builder
	column := indent
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n > width:
			lines.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			lines.WriteByte(' ')
			column++
		}
		lines.WriteString(word)
		column += n
	}
	return lines.String()
}

// Or joins words as "a, b or c".
func Or(words []string) string { return joined(words, " or ") }

// And joins words as "a, b and c".
func And(words []string) string { return joined(words, " and ") }

func joined(words []string, last string) string {
	n := len(words) - 1
	if n < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:n], ", ") + last + words[n]
}

// Count returns "1 connection" or "2 connections".
func Count(n int, noun string) string { return fmt.Sprint(n, " ", Noun(float64(n), noun)) }

// Noun returns the noun for n things: "query" for one, "queries" for others.
func Noun(n float64, noun string) string {
	stem, y := strings.CutSuffix(noun, "y")
	switch {
	case n == 1:
		return noun
	case y:
		return stem + "ies"
	}
	return noun + "s"
}

// OneLine returns the message of an error as Line does, its lines, such as those of joined
// errors, separated by semicolons.
func OneLine(err error) string { return Line(strings.ReplaceAll(err.Error(), "\n", "; ")) }

// Line returns text with U+FFFD for each control character, and a space for a tab: a text that
// quotes what others have sent stays in its line, and changes no terminal.
func Line(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r):
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// few is how many names a sentence lists in full. If there are more, it lists the nearest.
const few = 14

// longest is more than any name has: what is longer is near to none, and not compared to its end.
const longest = 64

// Unknown returns the sentence about a name that is not in all: it suggests the nearest
// names, or lists all of them.
func Unknown(kind, got string, all []string) string {
	begin := fmt.Sprintf("there is no %s %.40q", kind, got)
	got = got[:min(len(got), longest)]
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b string) int { return distance(got, a) - distance(got, b) })
	switch {
	case len(all) == 0:
		return begin
	case distance(got, sorted[0]) <= 1+len(got)/4:
		near := slices.IndexFunc(sorted, func(name string) bool { return distance(got, name) > distance(got, sorted[0]) })
		if near < 0 {
			near = len(sorted)
		}
		return begin + ", did you mean " + Or(sorted[:min(3, near)]) + "?"
	case len(all) <= few || got == "": // to which none is nearer than another
		return begin + ": use " + Or(all)
	}
	return begin + ": the nearest are " + And(sorted[:3])
}

// distance is the Levenshtein distance: how many letters must be changed, added or removed
// to turn a into b. Two swapped letters count as one change.
func distance(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := 0
			if a[i] != b[j] {
				cost = 1
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
