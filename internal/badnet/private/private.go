package private

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"gotimeout/internal/prose"
)

// Outside is what the process outside gives the one inside.
type Outside struct {
	Listener  *net.TCPListener // handed in; closed here when the inside is Ready
	Servers   []Server         // that the inside may be connected to
	Anywhere  bool             // the inside may be connected to any other server too
	Processes bool             // for a command: the inside has a PID namespace, whose processes end with it
}

// Server is a server in the outside's network.
type Server struct{ Network, Addr string }

// Ping is the Network of a socket for ICMP echoes, whose Addr has no port. Not every
// system lets every user have one.
const Ping = "ping"

// RefusedError says why there is no private network, or none that the process
// inside can use. Its text is a sentence with a remedy.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// KilledError says that a signal has ended the process inside, which for Processes takes
// the network and the command with it.
type KilledError struct{ Signal syscall.Signal }

func (e *KilledError) Error() string {
	return fmt.Sprintf("the private network has ended, and with it the command: its process was ended by signal %d (%s)", int(e.Signal), e.Signal)
}

// ErrSet is the error of a program that somebody else started as the process inside.
var ErrSet = errors.New("GOTIMEOUT_INSIDE is set by gotimeout alone: unset it")

// Refused returns a RefusedError for an error, in one line.
func Refused(err error) error {
	return &RefusedError{prose.OneLine(err)}
}

// Work is what a program does in a private network.
type Work struct {
	Outside
	// Inside does the work in the process inside and returns its exit status. Its
	// context is done with the first SIGINT or SIGTERM that the outside is sent;
	// the second ends the process. For Processes the signals are the command's.
	// A RefusedError says that the network is of no use.
	Inside func(ctx context.Context, p *Process) (status int, err error)
	// Refused does the work in the process outside instead, where there is no
	// private network or Inside refused it. Where Refused is nil, Do returns the
	// reason.
	Refused func(reason *RefusedError) (status int, err error)
}

// Do does the work and returns its exit status. It is called by both processes:
// the one outside starts the program again and waits for that to end.
func (w Work) Do(ctx context.Context) (status int, err error) {
	var refused *RefusedError
	if Inside() {
		p, err := Enter(w.Processes)
		switch {
		case errors.As(err, &refused):
			return 1, nil // the outside has the reason
		case err != nil:
			return 1, err
		}
		status, err := w.Inside(p.context(ctx, w.Processes), p)
		if errors.As(err, &refused) {
			return 1, p.Refuse(refused.Reason)
		}
		return status, err
	}
	status, err = Run(w.Outside)
	if errors.As(err, &refused) && w.Refused != nil {
		return w.Refused(refused)
	}
	return status, err
}

// context returns the context of the work inside. The outside's signals end it
// and not this process's own, which come twice where a whole group is sent one.
func (p *Process) context(ctx context.Context, processes bool) context.Context {
	ctx = context.WithoutCancel(ctx)
	if processes {
		return ctx // Command passes the signals on
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		<-p.Signals
		cancel()
		os.Exit(128 + int(<-p.Signals))
	}()
	return ctx
}
