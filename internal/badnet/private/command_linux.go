package private

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// The exit statuses of a command that was not run, as a shell's.
const (
	notExecutable = 126
	notFound      = 127
)

// Command runs a command inside, as the user that started this program and with
// his rights alone, and returns its exit status. It must be the first of the
// processes inside: all that the command leaves behind end with this one.
func (p *Process) Command(args []string) (status int, err error) {
	// What the terminal sends is for the command, which it reaches too.
	dropped := make(chan os.Signal, 1)
	notify(dropped, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	defer signal.Stop(dropped)
	path, err := exec.LookPath(args[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		if errors.Is(err, fs.ErrPermission) {
			return notExecutable, fmt.Errorf("%s can't be executed", args[0])
		}
		return notFound, fmt.Errorf("there is no command %s", args[0])
	}
	child, err := start(path, args)
	if err != nil {
		return notExecutable, fmt.Errorf("%s can't be executed (%w)", args[0], err)
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case s := <-p.Signals:
				_ = child.Signal(s)
			case <-ended:
				return
			}
		}
	}()
	return reap(child.Pid)
}

// start starts a process without the capabilities that this one was given.
func start(path string, args []string) (*os.Process, error) {
	// They are the thread's, and the child's are those of the one that forks.
	runtime.LockOSThread()
	if err := dropCapabilities(); err != nil {
		return nil, fmt.Errorf("capabilities can't be dropped: %w", err)
	}
	return os.StartProcess(path, args, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
}

// dropCapabilities keeps this thread's own from what it starts. A root's
// commands have them by being root's.
func dropCapabilities() error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return err
	}
	data[0].Inheritable, data[1].Inheritable = 0, 0 // and so the ambient ones
	return unix.Capset(&head, &data[0])
}

// reap waits for the child, and for the orphans that this process, as the first,
// gets from others.
func reap(child int) (status int, err error) {
	for {
		var w syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &w, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, wrap("wait", err)
		case pid == child && w.Signaled():
			return 128 + int(w.Signal()), nil
		case pid == child:
			return w.ExitStatus(), nil
		}
	}
}
