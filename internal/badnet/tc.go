package badnet

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gotimeout/internal/prose"
)

// tcWords are the words of tc-netem(8), each with what reads its values as keys of a
// profile. Jitter keeps the order of the packets here, and tc's does not.
var tcWords = []struct {
	name string
	read func(t *tcReader, values []string) error
}{
	{"netem", func(_ *tcReader, values []string) error { return atMost(values, 0) }},
	{"delay", (*tcReader).delay}, {"latency", (*tcReader).delay},
	{"distribution", (*tcReader).distribution},
	{"loss", (*tcReader).loss}, {"drop", (*tcReader).loss},
	{"corrupt", shareOf("corrupt")}, {"duplicate", shareOf("duplicate")}, {"reorder", shareOf("reorder")},
	{"rate", (*tcReader).rate},
	{"limit", (*tcReader).limit},
	// What a profile doesn't have:
	{"gap", lacks}, {"slot", lacks}, {"ecn", lacks}, {"seed", lacks},
}

// tcReader turns tc's words into the words of a profile.
type tcReader struct {
	words        []string
	jitter, tail string // with the distribution
	waiting      string // the limit
	rated        bool
}

func tcIndex(word string) int {
	for i, w := range tcWords {
		if w.name == word {
			return i
		}
	}
	return -1
}

func tcNames() (names []string) {
	for _, w := range tcWords {
		names = append(names, w.name)
	}
	return names
}

// fromTC rewrites the words of tc among the words of a profile as keys. A word of tc
// takes the words that follow, up to the next word of tc or the next key.
func fromTC(words []string) ([]string, error) {
	var t tcReader
	for i := 0; i < len(words); {
		word := words[i]
		i++
		if strings.Contains(word, "=") {
			t.words = append(t.words, word)
			continue
		}
		known := tcIndex(word)
		if known < 0 {
			return nil, noKey(word)
		}
		from := i
		for i < len(words) && isValue(word, words[i], i == from) {
			i++
		}
		if err := tcWords[known].read(&t, words[from:i]); err != nil {
			return nil, fmt.Errorf("%s: %w", strings.Join(words[from-1:i], " "), err)
		}
	}
	return t.finish()
}

// isValue tells whether next is a value of a word of tc: no other word, and no key.
func isValue(word, next string, first bool) bool {
	if strings.Contains(next, "=") || tcIndex(next) >= 0 {
		return false
	}
	named := first && (word == "loss" || word == "drop" || word == "distribution")
	return named || !isLetter(next[0])
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// noKey is the error about a word that is neither a key with its value nor a word of tc.
func noKey(word string) error {
	if slices.Contains(presetNames(), word) || slices.ContainsFunc(keys, func(k key) bool { return k.name == word }) {
		return fmt.Errorf("%q has no value; write it as in delay=100ms, and a preset's name as the first word and the only one", word)
	}
	return errors.New(prose.Unknown("word of tc", word, tcNames()) + " (or write keys, as in delay=100ms)")
}

// noWordOfTC is the error about a first word that is neither a preset nor a word of tc,
// where a value of tc follows it.
func noWordOfTC(words []string) error {
	if len(words) == 1 || strings.Contains(words[1], "=") || isLetter(words[1][0]) {
		return nil
	}
	return errors.New(prose.Unknown("preset or word of tc", words[0], append(presetNames(), tcNames()...)))
}

// finish adds what depends on several words. Without a rate nothing waits for one, and
// tc's limit, which counts the packets in the delay too, is left out.
func (t *tcReader) finish() ([]string, error) {
	switch {
	case t.tail != "" && t.jitter == "":
		return nil, fmt.Errorf("distribution %s without a jitter; write it as in delay 100ms 20ms distribution %s", t.tail, t.tail)
	case t.tail != "":
		t.add("jitter", t.jitter+","+t.tail)
	case t.jitter != "":
		t.add("jitter", t.jitter)
	}
	if t.waiting != "" && t.rated {
		t.add("limit", t.waiting)
	}
	return t.words, nil
}

func (t *tcReader) add(key, value string) { t.words = append(t.words, key+"="+value) }

func (t *tcReader) delay(values []string) error {
	if err := between(values, 1, 3, "write a delay and a jitter, as in delay 100ms 20ms"); err != nil {
		return err
	}
	var times [2]string
	for i := range min(len(values), 2) {
		var err error
		if times[i], err = tcTime(values[i]); err != nil {
			return err
		}
	}
	if err := uncorrelated(values[min(2, len(values)):]); err != nil {
		return err
	}
	t.add("delay", times[0])
	t.jitter = times[1]
	return nil
}

func (t *tcReader) distribution(values []string) error {
	if err := between(values, 1, 1, "write one, as in distribution normal"); err != nil {
		return err
	}
	if !slices.Contains(distributions, values[0]) {
		return errors.New(prose.Unknown("distribution", values[0], distributions))
	}
	t.tail = values[0]
	return nil
}

// loss reads "5%", "random 5% 25%" and "gemodel 1% 30%".
func (t *tcReader) loss(values []string) error {
	const write = "write a percentage, as in loss 5%, or loss gemodel 1% 30%"
	if len(values) > 0 && isLetter(values[0][0]) {
		switch model := values[0]; model {
		case "random":
			values = values[1:]
		case "gemodel":
			return t.gemodel(values[1:])
		case "state":
			return errors.New("a profile has no loss of four states: write loss gemodel, or loss=1%,burst=3")
		default:
			return errors.New(prose.Unknown("kind of loss", model, []string{"random", "gemodel"}))
		}
	}
	if err := between(values, 1, 2, write); err != nil {
		return err
	}
	value, err := tcPercent(values[0])
	if err != nil {
		return err
	}
	text := percent(value)
	if len(values) > 1 {
		correlation, err := tcPercent(values[1])
		if err != nil {
			return err
		}
		if correlation > 0 {
			text += ",correlation=" + percent(correlation)
		}
	}
	t.add("loss", text)
	return nil
}

// gemodel reads p, r, 1-h and 1-k: the chances to enter and to leave the bad state, and
// the loss in the bad and in the good state, which tc takes as 1-p, 100% and 0%.
func (t *tcReader) gemodel(values []string) error {
	if err := between(values, 1, 4, "write the chances to enter and to leave a burst, as in loss gemodel 1% 30%"); err != nil {
		return err
	}
	shares := [4]float64{2: 1}
	for i, v := range values {
		var err error
		if shares[i], err = tcPercent(v); err != nil {
			return err
		}
	}
	enter, leave := shares[0], shares[1]
	if len(values) == 1 {
		leave = 1 - enter
	}
	switch {
	case shares[2] != 1 || shares[3] != 0:
		return errors.New("a profile loses every packet in a burst and none between: leave 1-h and 1-k out, or write 100% and 0%")
	case enter == 0:
		t.add("loss", "0%")
		return nil
	case leave == 0:
		return errors.New("such a burst never ends: write a chance to leave it, as in loss gemodel 1% 30%, or loss 100%")
	}
	// A kernel keeps 32 bits of a chance, hence the rounding.
	loss, burst := math.Round(1e8*enter/(enter+leave))/1e8, math.Round(1e3/leave)/1e3
	t.add("loss", percent(loss)+",burst="+number(burst))
	return nil
}

// shareOf returns the reader of a word whose value is a share of the packets.
func shareOf(key string) func(*tcReader, []string) error {
	return func(t *tcReader, values []string) error {
		if err := between(values, 1, 2, "write a percentage, as in "+key+" 1%"); err != nil {
			return err
		}
		value, err := tcPercent(values[0])
		if err != nil {
			return err
		}
		t.add(key, percent(value))
		return uncorrelated(values[1:])
	}
}

// tcRates are tc's units of a rate: bits, and bytes a second.
var tcRates = []struct {
	name     string
	exponent string
	times    float64
}{
	{"tibit", "", 1 << 40}, {"gibit", "", 1 << 30}, {"mibit", "", 1 << 20}, {"kibit", "", 1 << 10},
	{"tbit", "e12", 1}, {"gbit", "e9", 1}, {"mbit", "e6", 1}, {"kbit", "e3", 1}, {"bit", "", 1},
	{"tibps", "", 8 << 40}, {"gibps", "", 8 << 30}, {"mibps", "", 8 << 20}, {"kibps", "", 8 << 10},
	{"tbps", "e12", 8}, {"gbps", "e9", 8}, {"mbps", "e6", 8}, {"kbps", "e3", 8}, {"bps", "", 8},
	{"", "", 1},
}

// rate reads a rate and the bytes that count with each packet: the rate of a profile
// counts an IP packet, and tc's the 14 bytes of an Ethernet header too.
func (t *tcReader) rate(values []string) error {
	if err := between(values, 1, 4, "write a rate, as in rate 1mbit"); err != nil {
		return err
	}
	for i, v := range values[1:] {
		if v != "0" && (i > 0 || v != "-14") {
			return fmt.Errorf("a profile's rate counts the bytes of IP packets, and has no overhead: leave %s out", strings.Join(values[1:], " "))
		}
	}
	t.rated = true
	for _, u := range tcRates {
		digits, ok := strings.CutSuffix(strings.ToLower(values[0]), u.name)
		if !ok {
			continue
		}
		if bits, err := parseNumber(digits, u.exponent); err == nil && bits*u.times >= 1 && bits*u.times < 1e18 {
			t.add("rate", rate(int64(bits*u.times)))
			return nil
		}
	}
	return errors.New("unreadable rate; write a number above 0 and bit, kbit, mbit, gbit, or bps for bytes a second, as in rate 1mbit")
}

func (t *tcReader) limit(values []string) error {
	if err := between(values, 1, 1, "write a number of packets, as in limit 1000"); err != nil {
		return err
	}
	if _, err := strconv.ParseUint(values[0], 10, 32); err != nil || values[0] == "0" {
		return errors.New("unreadable limit; write a number of packets, 1 or more, as in limit 1000")
	}
	t.waiting = values[0]
	return nil
}

// lacks is the reader of a word that a profile has nothing for.
func lacks(*tcReader, []string) error { return errors.New("a profile has no such thing: leave it out") }

func uncorrelated(values []string) error {
	for _, v := range values {
		if value, err := tcPercent(v); err != nil || value != 0 {
			return fmt.Errorf("a profile has no correlation here: leave %s out", v)
		}
	}
	return nil
}

func between(values []string, least, most int, write string) error {
	if len(values) < least {
		return errors.New("a value is missing; " + write)
	}
	return atMost(values, most)
}

func atMost(values []string, most int) error {
	if len(values) > most {
		return fmt.Errorf("a value too many: leave %s out", strings.Join(values[most:], " "))
	}
	return nil
}

// tcTime rewrites a time of tc, which is in microseconds without a unit, as Go's.
func tcTime(value string) (string, error) {
	digits := strings.TrimRight(value, "abcdefghijklmnopqrstuvwxyz")
	unit := map[string]string{
		"s": "s", "sec": "s", "secs": "s", "ms": "ms", "msec": "ms", "msecs": "ms",
		"us": "us", "usec": "us", "usecs": "us", "": "us", "ns": "ns", "nsec": "ns", "nsecs": "ns",
	}[value[len(digits):]]
	if _, err := parseNumber(digits, ""); err != nil || unit == "" {
		return "", fmt.Errorf("unreadable time %q; write a number and its unit, as in 100ms or 1.5s", value)
	}
	return digits + unit, nil
}

// tcPercent reads a percentage, whose sign may be left out.
func tcPercent(value string) (float64, error) {
	v, err := parseNumber(strings.TrimSuffix(value, "%"), "e-2")
	if err != nil {
		return 0, fmt.Errorf("unreadable share %q; write a percentage, as in 1%% or 0.1%%", value)
	}
	return v, nil
}
