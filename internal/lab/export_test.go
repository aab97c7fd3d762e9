package lab

import (
	"context"
	"encoding/json"
	"io"

	"gotimeout/handlers"
	"gotimeout/internal/wire"
	"gotimeout/slowops"
)

const MemoryEvery = memoryEvery

var GiveMemoryBack = giveMemoryBack

// MemoryHeld returns how many bytes this process has that are not the system's.
func MemoryHeld() uint64 { return memoryUsed().held }

// Follow passes the notes of a child on to an observer, and returns the error of the child's run.
func Follow(o slowops.Observer, notes io.Reader) error { return (&child{observer: o}).follow(notes) }

// OpsOfOrder returns the ops of a child that was given an order.
func OpsOfOrder(text string) ([]Op, error) {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return nil, err
	}
	return o.ops()
}

// SocketsListedBy returns the function from which a lab gets the sockets of its backends, where list lists them.
func SocketsListedBy(list func() ([]wire.BackendSockets, error)) func() ([]wire.BackendSockets, error) {
	return (&kernel{list: list}).backends
}

// CheckedBy returns the health of a lab with one backend, which look looks at.
func CheckedBy(look handlers.Part) func(context.Context) []handlers.Backend {
	l := &Lab{backends: []*backend{{do: look}}}
	l.boundLooks(1)
	return l.health
}

var (
	ReadCacheAddr = readCacheAddr
	ReadURL       = readURL
)
