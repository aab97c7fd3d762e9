package main

import (
	"context"
	"io"

	"gotimeout/internal/samples"
)

type codeCmd struct {
	Strategy string `arg:"" enum:"{strategies}" predictor:"strategy" help:"The strategy: ${enum}."`
	Op       string `default:"http" placeholder:"OP" help:"The op that it bounds."`
}

// Help returns the text of the help above the flags. kong calls it.
func (codeCmd) Help() string {
	return `The code is complete, and has its trap as a comment. It uses the standard library, the
client, and where the strategy is of a library that one. Put a package clause above it.

  gotimeout code context-cancel --op db`
}

// Run prints the code. kong calls it.
func (c *codeCmd) Run(_ context.Context, to streams) error {
	code, err := samples.Of(c.Strategy, c.Op)
	if err != nil {
		return usagef("--op: %w", err)
	}
	_, err = io.WriteString(to.out, code)
	return err
}
