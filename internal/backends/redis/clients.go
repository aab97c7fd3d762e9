package redisbackend

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"gotimeout/internal/backends"
)

// Look returns the look into the CLIENT LIST of a Redis, which ask sends. It shows the clients that wait in a command
// such as BLPOP, under the names of their runs. Redis carries out every other command before it lists.
func Look(ask func(ctx context.Context, args ...any) (any, error)) backends.Look {
	return func(ctx context.Context) (backends.Sessions, error) {
		answer, err := ask(ctx, "CLIENT", "LIST")
		text, isText := answer.(string)
		if err == nil && !isText {
			err = fmt.Errorf("answered a %T", answer)
		}
		if err != nil {
			return backends.Sessions{}, fmt.Errorf("read CLIENT LIST: %w", err)
		}
		return sessions(text), nil
	}
}

// sessions reads the lines of a CLIENT LIST, "id=3 … name=gotimeout-run=ID … flags=b …".
func sessions(list string) (s backends.Sessions) {
	s.Of = map[string]int64{}
	for line := range strings.Lines(list) {
		of := map[string]string{}
		for _, field := range strings.Fields(line) {
			name, value, _ := strings.Cut(field, "=")
			of[name] = value
		}
		run, named := strings.CutPrefix(of["name"], "gotimeout-run=")
		id, err := strconv.ParseInt(of["id"], 10, 64)
		if named && err == nil && strings.Contains(of["flags"], "b") {
			s.Of[run] = id
		}
	}
	return s
}
