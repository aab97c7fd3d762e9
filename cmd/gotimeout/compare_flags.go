package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// loadFlags say what load a comparison makes.
type loadFlags struct {
	Timeout  span   `default:"250ms" help:"The bound."`
	Delay    []span `default:"10ms,10ms,10ms,1s" help:"How long the work takes: the requests take these in turn."`
	Rate     int    `default:"200" help:"Requests a second, whatever becomes of those before."`
	Duration span   `default:"2s" help:"How long the load of each cell lasts."`
	Repeat   int    `default:"1" help:"How often all of it is run; 5 times tell a change from noise."`
}

// The most that compare sends, and for how long: it is for a machine with a lab on it.
const (
	maxRate   = 100_000
	maxRepeat = 100
)

func (l loadFlags) check() error {
	switch {
	case l.Timeout == 0:
		return errors.New("--timeout is 0, which bounds nothing: it must be over 0")
	case len(l.Delay) == 0:
		return errors.New("--delay is empty: give it a duration, as 1s, or several, as 10ms,1s")
	case l.Rate < 1 || l.Rate > maxRate:
		return fmt.Errorf("--rate is %d: use 1 to %d requests a second", l.Rate, maxRate)
	case l.Duration < span(100*time.Millisecond) || l.Duration > span(time.Hour):
		return fmt.Errorf("--duration is %s: use 100ms to 1h", l.Duration)
	case float64(l.Rate)*time.Duration(l.Duration).Seconds() < 1:
		return fmt.Errorf("--rate %d for --duration %s is no request at all: raise one of them", l.Rate, l.Duration)
	case l.Repeat < 1 || l.Repeat > maxRepeat:
		return fmt.Errorf("--repeat is %d: use 1 to %d", l.Repeat, maxRepeat)
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

// span is a duration as the lab's parameters take it: Go's, or plain seconds.
type span time.Duration

func (s span) String() string { return time.Duration(s).String() }

// UnmarshalText reads it. kong calls it.
func (s *span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if seconds, number := strconv.ParseFloat(string(text), 64); number == nil && seconds < 3600*24 {
		d, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no duration: write 250ms, 1.5s or plain seconds", text)
	}
	*s = span(d)
	return nil
}
