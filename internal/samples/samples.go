// Package samples has the shortest Go code for each strategy with each op. The code uses the
// standard library, the client and the strategy's library, and no package of this module. gotimeout code prints the
// files, the page shows them, and docs/code.md has them.
//
// Its functions are to be copied, not called. Most make a client for each call, so that
// they stand by themselves; a program keeps its client.
package samples

import (
	"embed"
	"errors"
	"io/fs"
	"strings"

	"gotimeout/internal/prose"
)

//go:embed *_http.go *_cache.go *_db.go *_postgres.go *_redis.go *_grpc.go *_cpu.go
var files embed.FS

// Of returns the code of a strategy with an op, from the imports on. The error says for which
// ops there is code: a computation has no client with a timeout.
func Of(strategy, op string) (code string, err error) {
	text, err := files.ReadFile(prefix(strategy) + op + ".go")
	if err != nil {
		return "", errors.New(prose.Unknown("code of "+strategy+" for", op, Ops(strategy)))
	}
	_, code, _ = strings.Cut(string(text), "package samples\n\n")
	return code, nil
}

// Ops returns the ops for which a strategy has code.
func Ops(strategy string) (ops []string) {
	names, _ := fs.Glob(files, prefix(strategy)+"*.go") // the pattern is valid
	for _, name := range names {
		ops = append(ops, strings.TrimSuffix(strings.TrimPrefix(name, prefix(strategy)), ".go"))
	}
	return ops
}

func prefix(strategy string) string { return strings.ReplaceAll(strategy, "-", "") + "_" }
