package main

import (
	"context"
	"io"
	"slices"

	"gotimeout/internal/prose"
	"gotimeout/internal/samples"
)

type codeCmd struct {
	Strategy string `arg:"" enum:"{strategies}" predictor:"strategy" help:"The strategy: ${enum}."`
	Op       string `default:"http" placeholder:"OP" help:"The op that it bounds."`
}

// Help returns the text of the help above the flags. kong calls it.
func (codeCmd) Help() string {
	return `The code is complete, uses the standard library and the client alone, and has its
trap as a comment. Put a package clause above it.

  gotimeout code context-cancel --op db`
}

// Run prints the code. kong calls it.
func (c *codeCmd) Run(_ context.Context, to streams) error {
	ops := samples.Ops(c.Strategy)
	if !slices.Contains(ops, c.Op) {
		return usagef("--op: %s", prose.Unknown("code of "+c.Strategy+" for", c.Op, ops))
	}
	_, err := io.WriteString(to.out, samples.Of(c.Strategy, c.Op))
	return err
}
