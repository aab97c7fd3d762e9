package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/prose"
	"gotimeout/slowops"
)

// Op is an op of the lab: a pointer to a struct whose exported fields are the
// op's settings. The command line makes flags of them.
type Op interface {
	// Read checks the settings, and reads those without a flag from the
	// environment. Notes are sentences for the log. The error names the setting
	// and quotes no password.
	Read(getenv func(string) string) (notes []string, err error)

	// server returns the real server that replaces the op's stand-in, or nil.
	server() *private.Server

	// open opens the op's backend and client in the lab, and has Lab.atClose close
	// them. An op without a name is not in this lab.
	open(*Lab) (handlers.Op, error)
}

// Ops returns every op but the one that makes several calls at once, which is made of
// these. They are new, with no settings. The first one is the default.
func Ops() []Op {
	return []Op{
		new(httpOp),
		new(cacheOp),
		new(dbOp),
		new(postgresOp),
		new(redisOp),
		new(grpcOp),
		new(cpuOp),
		new(commandOp),
	}
}

// allName is the op that calls all backends at once.
const allName = "all"

// together makes one op from the ops that call a backend, without those that stand apart. Calls that can't be slow have no delay
// in it.
func together(ops []handlers.Op) handlers.Op {
	op := handlers.Op{Name: allName, Dials: true, Seen: true}
	var names []string
	for _, of := range ops {
		if !of.Dials || of.Apart {
			continue
		}
		names = append(names, of.Name)
		for _, part := range of.Parts {
			if of.NoDelay != "" {
				part = withoutDelay(part)
			}
			op.Parts = append(op.Parts, part)
		}
		op.Settle = max(op.Settle, of.Settle)
		op.Reports += of.Reports
		op.Files += of.Files
		op.Seen = op.Seen && of.Seen
		op.MakesOwn = op.MakesOwn || of.Own != nil
		op.Works = union(op.Works, of.Works)
		op.Backends = union(op.Backends, of.Backends)
		for _, param := range of.Params {
			if !slices.ContainsFunc(op.Params, func(p handlers.Param) bool { return p.Name == param.Name }) {
				op.Params = append(op.Params, param)
			}
		}
		op.Busy = either(op.Busy, of.Busy)
		op.Prepare = both(op.Prepare, of.Prepare)
		op.Watch = inside(op.Watch, of.Watch)
	}
	op.Doc = prose.And(names) + " at once."
	op.Lacks = lacksAll("its clients don't have the same ones: ask for op=" + prose.Or(names))
	return op
}

func withoutDelay(part handlers.Part) handlers.Part {
	return func(ctx context.Context, c slowops.Call) error {
		c.Delay = 0
		return part(ctx, c)
	}
}

func union(a, b []string) []string {
	for _, text := range b {
		if !slices.Contains(a, text) {
			a = append(a, text)
		}
	}
	return a
}

func either(a, b func(slowops.Call) bool) func(slowops.Call) bool {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(c slowops.Call) bool { return a(c) || b(c) }
}

func both(a, b handlers.Part) handlers.Part {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(ctx context.Context, c slowops.Call) error { return errors.Join(a(ctx, c), b(ctx, c)) }
}

// inside returns a and b, the one around the other.
func inside(a, b func(handlers.Part) handlers.Part) func(handlers.Part) handlers.Part {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(part handlers.Part) handlers.Part { return a(b(part)) }
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// lacksAll returns the Lacks of an op without timeouts of phases.
func lacksAll(why string) map[string]string {
	lacks := map[string]string{}
	for _, name := range []string{"connect_timeout", "tls_timeout", "header_timeout", "read_timeout"} {
		lacks[name] = why
	}
	return lacks
}

// CheckAddr returns an error if addr is not host:port. The error doesn't quote an addr with
// a user, because a password may follow the user.
func CheckAddr(addr string) error {
	if strings.Contains(addr, "@") {
		return errors.New("has an @, and an address has no user: write host:port")
	}
	_, port, err := net.SplitHostPort(addr)
	if malformed := (*net.AddrError)(nil); errors.As(err, &malformed) {
		err = errors.New(malformed.Err) // without addr, which the sentence quotes
	} else if !IsPort(port) {
		err = fmt.Errorf("%q is no port", port)
	}
	if err != nil {
		return fmt.Errorf("is %q, which can't be read (%w): write host:port", addr, err)
	}
	return nil
}

// IsPort reports whether text is the number of a port.
func IsPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// takenOut is the note on a timeout that stands in a server's setting: there it would cut the calls of every
// strategy, so the op gives it to io-timeout alone, as the default of the parameter.
func takenOut(of, option string, d time.Duration, parameter string) string {
	return fmt.Sprintf("%s=%s is taken out of %s, where it would cut every strategy; io-timeout uses it where a run names no %s", option, d, of, parameter)
}
