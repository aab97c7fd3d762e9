//go:build !linux

package private

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"
)

// What there is of a private network on a system without namespaces: the words,
// and a refusal.
type (
	Outside struct {
		Files     []*os.File
		Ready     func()
		Servers   []Server
		Processes bool
	}
	Server       struct{ Network, Addr string }
	RefusedError struct{ Reason string }
	Process      struct {
		Files   []*os.File
		Signals <-chan syscall.Signal
	}
)

func (e *RefusedError) Error() string { return e.Reason }

var errNone = &RefusedError{"private networks need Linux, and this is " + runtime.GOOS + ": run it there, in a container or a virtual machine"}

func Run(Outside) (int, error)                                            { return 0, errNone }
func Inside() bool                                                        { return false }
func Enter(bool) (*Process, error)                                        { return nil, errNone }
func (p *Process) Command([]string) (int, error)                          { return 0, errNone }
func (p *Process) Ready() error                                           { return errNone }
func (p *Process) Refuse(string) error                                    { return errors.ErrUnsupported }
func (p *Process) Dial(context.Context, string, string) (net.Conn, error) { return nil, errNone }
