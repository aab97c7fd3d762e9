package main

import (
	"os"
	"strings"
	"time"
)

// loadFlags say what load a comparison makes.
type loadFlags struct {
	Timeout  time.Duration   `default:"250ms" help:"The bound."`
	Delay    []time.Duration `default:"10ms,10ms,10ms,1s" help:"How long the work takes: the requests take these in turn."`
	Rate     int             `default:"200" help:"Requests a second, whatever becomes of those before."`
	Duration time.Duration   `default:"2s" help:"How long the load of each cell lasts."`
	Repeat   int             `default:"1" help:"How often all of it is run; 5 times tell a change from noise."`
}

// The most that compare sends, and for how long: it is for a machine with a lab on it.
const (
	maxRate   = 100_000
	maxRepeat = 100
)

func (l loadFlags) check() error {
	switch {
	case l.Timeout == 0:
		return usagef("--timeout is 0, which bounds nothing: it must be over 0")
	case len(l.Delay) == 0:
		return usagef("--delay is empty: give it a duration, as 1s, or several, as 10ms,1s")
	case l.Rate < 1 || l.Rate > maxRate:
		return usagef("--rate is %d: use 1 to %d requests a second", l.Rate, maxRate)
	case l.Duration < 100*time.Millisecond || l.Duration > time.Hour:
		return usagef("--duration is %s: use 100ms to 1h", l.Duration)
	case float64(l.Rate)*l.Duration.Seconds() < 1:
		return usagef("--rate %d for --duration %s is no request at all: raise one of them", l.Rate, l.Duration)
	case l.Repeat < 1 || l.Repeat > maxRepeat:
		return usagef("--repeat is %d: use 1 to %d", l.Repeat, maxRepeat)
	}
	return nil
}

// plain are the characters that mean nothing to a shell.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=.,:/%+@"

// commandLine is what was typed, as a shell reads it.
func commandLine() string {
	words := []string{"gotimeout"}
	for _, word := range os.Args[1:] {
		if word == "" || strings.Trim(word, plain) != "" {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}
