package badnet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// key is one word of a profile.
type key struct {
	name   string
	parse  func(l *Link, value string) error
	format func(l Link) string // "" for what needs no word
}

var keys = []key{
	{"delay", parseDelay, formatDelay},
	{"jitter", parseJitter, formatJitter},
	{"loss", parseLoss, formatLoss},
	{"rate", parseRate, formatRate},
	{"reorder", parseReorder, formatReorder},
	{"duplicate", parseDuplicate, formatDuplicate},
	{"limit", parseLimit, formatLimit},
}

// Parse reads a profile: keys, a preset's name, or a name and the keys that are
// to be different, all with spaces between them.
//
//	delay=100ms jitter=20ms,normal loss=1%,burst=3 rate=1mbit reorder=1% duplicate=0.1% limit=100
//	3g loss=2% down.rate=2mbit
//
// A key is for both directions, and with up. or down. before it for that one,
// where it beats the plain key. The error says what to write instead.
func Parse(text string) (Profile, error) {
	var p Profile
	words := strings.Fields(text)
	if len(words) == 0 {
		return p, errors.New("an empty network profile; write keys as in delay=100ms loss=1%, or one of the presets " + presetNames())
	}
	if !strings.Contains(words[0], "=") {
		preset, err := Lookup(words[0])
		if err != nil {
			return p, err
		}
		p, words = preset.Profile, words[1:]
	}
	seen := map[string]bool{}
	for _, prefixed := range []bool{false, true} { // a prefix beats none, whichever is written first
		for _, word := range words {
			name, value, ok := strings.Cut(word, "=")
			if !ok {
				return Profile{}, fmt.Errorf("%q has no value; write it as in delay=100ms, and a preset's name as the first word and the only one", word)
			}
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
		return fmt.Errorf("unknown key %q; there are %s, each also with up. or down. before it", name, list(names))
	}
	for _, l := range links {
		if err := keys[i].parse(l, value); err != nil {
			return fmt.Errorf("%s=%s: %w", name, value, err)
		}
	}
	return nil
}

// normal returns the one way to write a Link that Parse returns.
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
	return l
}

// list writes "a, b and c".
func list(names []string) string {
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
