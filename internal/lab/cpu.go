package lab

import (
	"gotimeout/handlers"
	"gotimeout/internal/badnet/private"
	"gotimeout/slowops"
)

// cpuOp computes in this process, and has no backend.
type cpuOp struct{}

func (*cpuOp) Read(func(string) string) ([]string, error) { return nil, nil }
func (*cpuOp) server() *private.Server                    { return nil }

func (*cpuOp) open(*Lab) (handlers.Op, error) {
	return handlers.Op{
		Name: "cpu", Doc: "A computation in this process, which never yields.",
		Lacks: lacksAll("a computation has no I/O that a client could bound"),
		Busy:  func(c slowops.Call) bool { return c.Delay > 0 },
		Parts: []handlers.Part{slowops.CPU{}.Do},
	}, nil
}
