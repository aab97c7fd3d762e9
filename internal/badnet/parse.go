package badnet

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"gotimeout/internal/prose"
)

// key is one key of a profile.
type key struct {
	name   string
	parse  func(l *Link, value string) error
	format func(l Link) string // writes the value; "" is the default
}

var keys = []key{
	{"delay", parseDelay, formatDelay},
	{"jitter", parseJitter, formatJitter},
	{"loss", parseLoss, formatLoss},
	{"corrupt", parseCorrupt, formatCorrupt},
	{"rate", parseRate, formatRate},
	{"trace", parseTraceName, formatTrace},
	{"reorder", parseReorder, formatReorder},
	{"duplicate", parseDuplicate, formatDuplicate},
	{"limit", parseLimit, formatLimit},
	{"queue", parseQueue, formatQueue},
	{"outage", parseOutage, formatOutage},
}

// Parse reads a profile: keys, the name of a preset, or a name and the keys that
// replace some of the preset's, with spaces between. The words of tc-netem(8) are
// read as the keys that they stand for.
//
//	delay=100ms jitter=20ms,normal loss=1%,burst=3 rate=1mbit reorder=1% duplicate=0.1% limit=100
//	3g loss=2% down.rate=2mbit
//	delay 100ms 20ms distribution normal loss 5% rate 1mbit
//
// A key counts for both directions, and with the prefix up. or down. for one,
// where it replaces the plain key. The error says what to write instead. Parse opens
// no file, and so refuses a trace: a client must not make a server read files.
func Parse(text string) (Profile, error) {
	return parse(text, func(string) (Trace, error) {
		return Trace{}, errors.New("a trace is a file, which only the command line may name: network run, network check and serve --network")
	})
}

// ParseWithFiles is Parse for a command line: it reads the files of traces.
func ParseWithFiles(text string) (Profile, error) { return parse(text, readTrace) }

func parse(text string, open func(name string) (Trace, error)) (Profile, error) {
	var p Profile
	words := strings.Fields(text)
	if len(words) == 0 {
		return p, errors.New("an empty network profile; write keys as in delay=100ms loss=1%, or one of the presets " + prose.And(presetNames()))
	}
	if !strings.Contains(words[0], "=") && tcIndex(words[0]) < 0 {
		preset, err := Lookup(words[0])
		if err != nil {
			return p, cmp.Or(noWordOfTC(words), err)
		}
		p, words = preset.Profile, words[1:]
	}
	words, err := fromTC(words)
	if err != nil {
		return Profile{}, err
	}
	seen := map[string]bool{}
	for _, prefixed := range []bool{false, true} { // keys with a prefix last: they replace plain keys
		for _, word := range words {
			name, value, _ := strings.Cut(word, "=")
			if prefixed != strings.Contains(name, ".") {
				continue
			}
			if seen[name] {
				return Profile{}, fmt.Errorf("%s is there twice; write it once", name)
			}
			seen[name] = true
			if err := p.set(name, value); err != nil {
				return Profile{}, err
			}
		}
	}
	for _, l := range []*Link{&p.Up, &p.Down} {
		if l.Trace.File == "" {
			continue
		}
		if l.Trace, err = open(l.Trace.File); err != nil {
			return Profile{}, err
		}
	}
	if err := p.Validate(); err != nil {
		return Profile{}, err
	}
	return Profile{p.Up.normal(), p.Down.normal()}, nil
}

// set sets a key in the directions that its prefix names.
func (p *Profile) set(name, value string) error {
	links := []*Link{&p.Up, &p.Down}
	plain := name
	if rest, ok := strings.CutPrefix(name, "up."); ok {
		links, plain = links[:1], rest
	} else if rest, ok := strings.CutPrefix(name, "down."); ok {
		links, plain = links[1:], rest
	}
	i := slices.IndexFunc(keys, func(k key) bool { return k.name == plain })
	if i < 0 {
		var names []string
		for _, k := range keys {
			names = append(names, k.name)
		}
		return errors.New(prose.Unknown("key", plain, names) + " (each also with up. or down. before it)")
	}
	for _, l := range links {
		if err := keys[i].parse(l, value); err != nil {
			return fmt.Errorf("%s=%s: %w", name, value, err)
		}
	}
	return nil
}

// normal returns the Link as Parse returns it, since the same link may be written in several ways.
func (l Link) normal() Link {
	if l.Jitter == 0 {
		l.Distribution = Uniform
	}
	if l.Burst == 1 {
		l.Burst = 0
	}
	if l.Limit == DefaultLimit {
		l.Limit = 0
	}
	if l.Outage == 0 {
		l.Exponential = false
	}
	return l
}

func parseDelay(l *Link, value string) (err error) {
	l.Delay, err = parseDuration(value)
	return err
}

func parseJitter(l *Link, value string) (err error) {
	value, name, named := strings.Cut(value, ",")
	l.Distribution = Uniform
	if named {
		i := slices.Index(distributions, name)
		if i < 0 {
			return errors.New(prose.Unknown("distribution", name, distributions))
		}
		l.Distribution = Distribution(i)
	}
	l.Jitter, err = parseDuration(value)
	return err
}

func parseLoss(l *Link, value string) (err error) {
	value, rest, more := strings.Cut(value, ",")
	l.Burst, l.Correlation = 0, 0
	name, follow, _ := strings.Cut(rest, "=")
	switch {
	case !more:
	case name == "burst":
		if l.Burst, err = parseNumber(follow, ""); err != nil || l.Burst < 1 {
			return fmt.Errorf("unreadable burst %q; write the mean number of packets, 1 or more, as in burst=3", follow)
		}
	case name == "correlation":
		if l.Correlation, err = parsePercent(follow); err != nil {
			return fmt.Errorf("unreadable correlation %q; write a percentage, as in correlation=25%%", follow)
		}
	default:
		return fmt.Errorf("%q behind the comma; write the mean length of a burst there, as in loss=1%%,burst=3, or a correlation, as in loss=1%%,correlation=25%%", rest)
	}
	l.Loss, err = parsePercent(value)
	return err
}

func parseCorrupt(l *Link, value string) (err error) {
	l.Corrupt, err = parsePercent(value)
	return err
}

func parseRate(l *Link, value string) error {
	l.Rate = 0
	if value == "none" {
		return nil
	}
	for _, u := range units {
		digits, ok := strings.CutSuffix(strings.ToLower(value), u.name)
		if !ok {
			continue
		}
		if bits, err := parseNumber(digits, u.exponent); err == nil && bits >= 1 && bits < 1e18 {
			l.Rate = int64(bits)
			return nil
		}
		break
	}
	return errors.New("unreadable rate; write a number above 0 and bit, kbit, mbit or gbit, as in rate=1mbit, or none")
}

func parseTraceName(l *Link, value string) error {
	if value == "" {
		return errors.New("a trace is a file; write its name, as in down.trace=lte.down")
	}
	l.Trace = Trace{File: value}
	if value == None {
		l.Trace = Trace{}
	}
	return nil
}

func parseReorder(l *Link, value string) (err error) {
	l.Reorder, err = parsePercent(value)
	return err
}

func parseDuplicate(l *Link, value string) (err error) {
	l.Duplicate, err = parsePercent(value)
	return err
}

func parseLimit(l *Link, value string) (err error) {
	l.Limit, err = strconv.Atoi(value)
	if err != nil || l.Limit < 1 {
		return errors.New("unreadable limit; write a number of packets, 1 or more, as in limit=1000")
	}
	return nil
}

func parseQueue(l *Link, value string) error {
	i := slices.Index(disciplines, value)
	if i < 0 {
		return errors.New(prose.Unknown("queue", value, disciplines))
	}
	l.Queue = Discipline(i)
	return nil
}

// parseOutage reads "1s,every=10s", "1s,every=10s,exponential" and "0s".
func parseOutage(l *Link, value string) (err error) {
	l.Outage, l.Every, l.Exponential = 0, 0, false
	parts := strings.Split(value, ",")
	if l.Outage, err = parseDuration(parts[0]); err != nil {
		return err
	}
	if len(parts) == 1 && l.Outage == 0 {
		return nil
	}
	every, ok := "", len(parts) > 1
	if ok {
		every, ok = strings.CutPrefix(parts[1], "every=")
	}
	if !ok {
		return errors.New("an outage comes again; write how often, as in outage=1s,every=10s")
	}
	if l.Every, err = parseDuration(every); err != nil {
		return err
	}
	for i, form := range parts[2:] {
		if i > 0 || !slices.Contains(outages, form) {
			return errors.New(prose.Unknown("form of an outage", form, outages))
		}
		l.Exponential = form == "exponential"
	}
	if l.Outage == 0 {
		l.Every = 0
	}
	return nil
}

// outages are the forms of outages.
var outages = []string{"fixed", "exponential"}

func parseDuration(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || value == "0" {
		return 0, errors.New("unreadable duration; write a number and its unit, as in 100ms or 1.5s")
	}
	if d == 0 && strings.ContainsAny(value, "123456789") {
		return 0, errors.New("a duration under 1ns; write 0s for none, or 1ns or more")
	}
	return d, nil
}

// parsePercent refuses a plain number: 0.5 could be a half or half a percent.
func parsePercent(value string) (float64, error) {
	digits, ok := strings.CutSuffix(value, "%")
	v, err := parseNumber(digits, "e-2")
	if !ok || err != nil {
		return 0, errors.New("unreadable share; write a percentage, as in 1% or 0.1%")
	}
	return v, nil
}

// parseNumber reads plain digits and shifts their point by the exponent. That is
// exact to the last bit, and a multiplication is not.
func parseNumber(digits, exponent string) (float64, error) {
	if strings.Trim(digits, "0123456789.") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(digits+exponent, 64)
}

// String returns the text that Parse reads as this Profile: the keys in a fixed
// order, without those that have their default value, and "none" without any.
func (p Profile) String() string {
	var words []string
	for _, k := range keys {
		up, down := k.format(p.Up), k.format(p.Down)
		if up == down {
			words = appendWord(words, k.name, up)
			continue
		}
		words = appendWord(words, "up."+k.name, up)
		words = appendWord(words, "down."+k.name, down)
	}
	if len(words) == 0 {
		return None
	}
	return strings.Join(words, " ")
}

func appendWord(words []string, name, value string) []string {
	if value == "" {
		return words
	}
	return append(words, name+"="+value)
}

func formatDelay(l Link) string { return text(l.Delay) }

func formatJitter(l Link) string {
	if l.Jitter == 0 || l.Distribution == Uniform {
		return text(l.Jitter)
	}
	return l.Jitter.String() + "," + l.Distribution.String()
}

func formatLoss(l Link) string {
	switch {
	case l.Loss > 0 && l.Burst > 1:
		return percent(l.Loss) + ",burst=" + number(l.Burst)
	case l.Loss > 0 && l.Correlation > 0:
		return percent(l.Loss) + ",correlation=" + percent(l.Correlation)
	}
	return share(l.Loss)
}

func formatCorrupt(l Link) string { return share(l.Corrupt) }

func formatRate(l Link) string {
	if l.Rate == 0 {
		return ""
	}
	return rate(l.Rate)
}

func formatTrace(l Link) string     { return l.Trace.File }
func formatReorder(l Link) string   { return share(l.Reorder) }
func formatDuplicate(l Link) string { return share(l.Duplicate) }

func formatLimit(l Link) string {
	if l.Limit == 0 || l.Limit == DefaultLimit {
		return ""
	}
	return strconv.Itoa(l.Limit)
}

func formatQueue(l Link) string {
	if l.Queue == DropTail {
		return ""
	}
	return l.Queue.String()
}

func formatOutage(l Link) string {
	if l.Outage == 0 {
		return ""
	}
	form := ""
	if l.Exponential {
		form = ",exponential"
	}
	return l.Outage.String() + ",every=" + l.Every.String() + form
}

func share(v float64) string {
	if v == 0 {
		return ""
	}
	return percent(v)
}

// percent moves the point of a share by two digits instead of multiplying it:
// 0.07*100 is 7.000000000000001.
func percent(share float64) string {
	if math.IsNaN(share) || math.IsInf(share, 0) {
		return number(share) + "%"
	}
	sign := ""
	if math.Signbit(share) {
		sign = "-"
	}
	whole, fraction, _ := strings.Cut(number(math.Abs(share)), ".")
	fraction += "00"
	whole = strings.TrimLeft(whole+fraction[:2], "0")
	fraction = strings.TrimRight(fraction[2:], "0")
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return sign + whole + fraction + "%"
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// units are tc's, the largest first.
var units = []struct {
	name     string
	exponent string
	bits     int64
}{{"gbit", "e9", 1e9}, {"mbit", "e6", 1e6}, {"kbit", "e3", 1e3}, {"bit", "", 1}}

// rate writes a rate with the largest unit that leaves no fraction.
func rate(bits int64) string {
	for _, u := range units {
		if bits%u.bits == 0 && bits != 0 {
			return strconv.FormatInt(bits/u.bits, 10) + u.name
		}
	}
	return "0bit"
}
