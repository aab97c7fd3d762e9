// Package samples has the shortest Go that does what each strategy does, with the op at
// hand: the standard library and the client, and nothing of this module. What is in a
// file is what gotimeout code prints, the page shows and docs/code.md has.
//
// Its functions are to be copied, not called. Most make a client for each call, so that
// they stand by themselves; a program keeps its client.
package samples

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed *_http.go *_cache.go *_db.go *_cpu.go
var files embed.FS

// Of returns the code of a strategy with an op, from the imports on, and "" where there
// is none: a computation has no client with a timeout.
func Of(strategy, op string) string {
	text, err := files.ReadFile(prefix(strategy) + op + ".go")
	if err != nil {
		return ""
	}
	_, code, _ := strings.Cut(string(text), "\n\n")
	return code
}

// Ops returns the ops that there is code of a strategy for.
func Ops(strategy string) (ops []string) {
	names, _ := fs.Glob(files, prefix(strategy)+"*.go") // no bad pattern
	for _, name := range names {
		ops = append(ops, strings.TrimSuffix(strings.TrimPrefix(name, prefix(strategy)), ".go"))
	}
	return ops
}

func prefix(strategy string) string { return strings.ReplaceAll(strategy, "-", "") + "_" }
