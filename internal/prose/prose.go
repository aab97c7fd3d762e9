// Package prose writes sentences: words wrapped to the width of a terminal, lists
// as a sentence has them, counted nouns and errors in one line. Its width counts
// runes, so it is for text of one column a rune.
package prose

import (
	"fmt"
	"strings"
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
func Count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// OneLine returns the message of an error, its lines, such as those of joined
// errors, separated by semicolons.
func OneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
