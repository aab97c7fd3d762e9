//go:build !linux

package private

import (
	"context"
	"errors"
	"net"
	"runtime"
	"syscall"
)

// Process is what there is of one on a system without namespaces: nothing, and
// every function refuses.
type Process struct {
	Listener net.Listener
	Signals  <-chan syscall.Signal

	KeepCapabilities bool
}

var errNone = &RefusedError{"private networks need Linux, and this is " + runtime.GOOS + ": run it there, in a container or a virtual machine"}

func Run(Outside) (int, error)                                            { return 0, errNone }
func Inside() bool                                                        { return false }
func Enter(bool) (*Process, error)                                        { return nil, errNone }
func (p *Process) Command(context.Context, []string) (int, error)         { return 0, errNone }
func Sysctl(string, string) error                                         { return errNone }
func (p *Process) Ready() error                                           { return errNone }
func (p *Process) Refuse(string) error                                    { return errors.ErrUnsupported }
func (p *Process) Dial(context.Context, string, string) (net.Conn, error) { return nil, errNone }
