// Package explain knows the messages that a timeout ends in: the phase or bound that each comes
// from, how to make it on this machine, and what to do. People search for the text they got, so a
// message is found inside a longer line of a log.
//
// A message that no command here makes says so. A test makes each of the others, and compares.
package explain

import (
	"regexp"
	"strings"
)

// Message is a text that programs print when something took too long.
type Message struct {
	Texts     []string // the text as it is printed, and other texts of the same error
	From      string   // the phase or bound that it comes from
	Make      string   // a command that prints it, beside a lab on localhost:8000; "" where there is none
	Otherwise string   // where Make is "": where it comes from, if not from this program
	Do        string
}

// addresses finds the addresses in the errors of package net, as in "dial tcp 127.0.0.1:80: i/o timeout".
var addresses = regexp.MustCompile(`\b((?:dial|read|write) (?:tcp|udp|unix)[46]?) [^ ]+:`)

// Find returns the messages that are in a text, which may be a line of a log. Of messages one of
// which is a part of another only the longer is returned. Where there are none, the text is
// taken for a part of a message: an error number, or some of its words.
func Find(text string) (found []Message) {
	text = strings.ToLower(addresses.ReplaceAllString(strings.Join(strings.Fields(text), " "), "$1:"))
	if text == "" {
		return nil
	}
	lengths := map[string]int{}
	for _, m := range Messages() {
		for _, t := range m.Texts {
			if t = strings.ToLower(t); contains(text, t) {
				lengths[m.Texts[0]] = max(lengths[m.Texts[0]], len(t))
			}
		}
	}
	for _, m := range Messages() {
		if lengths[m.Texts[0]] > 0 && !shadowed(m, lengths) {
			found = append(found, m)
		}
	}
	const short = 3 // "at" is a part of many
	if len(found) > 0 || len(text) < short {
		return found
	}
	for _, m := range Messages() {
		for _, t := range m.Texts {
			if contains(strings.ToLower(t), text) {
				found = append(found, m)
				break
			}
		}
	}
	return found
}

// shadowed reports whether the text of m is a part of another message that was found.
func shadowed(m Message, lengths map[string]int) bool {
	for _, other := range Messages() {
		if lengths[other.Texts[0]] <= lengths[m.Texts[0]] {
			continue
		}
		for _, longer := range other.Texts {
			for _, t := range m.Texts {
				if contains(strings.ToLower(longer), strings.ToLower(t)) {
					return true
				}
			}
		}
	}
	return false
}

// contains reports whether part is in text, and neither cuts a word or a number of text in two.
func contains(text, part string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], part)
		if i < 0 {
			return false
		}
		begin, end := from+i, from+i+len(part)
		if !(inWord(text, begin) && inWord(part, 0) && inWord(text, begin-1)) &&
			!(inWord(part, len(part)-1) && inWord(text, end)) {
			return true
		}
		from = begin + 1
	}
}

// inWord reports whether a letter or a digit is at that place of text.
func inWord(text string, at int) bool {
	if at < 0 || at >= len(text) {
		return false
	}
	c := text[at]
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z'
}
