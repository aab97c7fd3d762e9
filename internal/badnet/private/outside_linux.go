package private

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideEnv is the variable by which a process knows that it is inside. Its value
// is the number of listeners handed over. Enter unsets it.
const insideEnv = "GOTIMEOUT_INSIDE"

// Run starts this program again inside, with the same arguments, environment and
// standard streams, passes signals on, and returns its exit status: 128 plus the
// signal that killed it, as a shell does. Where the system gives no private
// network, the error is a RefusedError. For Processes a command that was killed has
// such a status by the process inside, which ends as usual; where that one is killed,
// the error is a KilledError.
func Run(o Outside) (status int, err error) {
	// The kernel ends the child with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	ours, theirs, err := pair()
	if err != nil {
		return 0, err
	}
	defer ours.close()
	files := []*os.File{theirs}
	if o.Listener != nil {
		file, err := o.Listener.File()
		if err != nil {
			theirs.Close()
			return 0, err
		}
		defer file.Close()
		// Handing a file over makes it blocking in this process too, where an Accept
		// that blocks can't be interrupted (https://go.dev/issue/24942).
		defer func() { _ = unix.SetNonblock(int(file.Fd()), true) }()
		files = append(files, file)
	}
	cmd := command(o.Processes, files)
	signals := make(chan os.Signal, 16)
	notify(signals, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2)
	defer signal.Stop(signals)
	if o.Processes {
		defer keepTerminal()()
	}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return 0, refusal(err)
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case <-ended:
				return
			case s := <-signals:
				o.pass(s.(syscall.Signal), ours, cmd.Process)
			}
		}
	}()

	refused := ours.answer(o, func() { // until the child has closed its end
		for _, file := range files[1:] {
			file.Close()
			o.Listener.Close()
		}
	})
	err = cmd.Wait()
	if refused != "" {
		return 0, &RefusedError{refused}
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	if w, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && w.Signaled() && o.Processes {
		return 0, &KilledError{w.Signal()}
	}
	return exitStatus(cmd.ProcessState), nil
}

// command is this program again, in namespaces of its own, with the files from
// number 3 on.
func command(processes bool, files []*os.File) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideEnv+"="+strconv.Itoa(len(files)-1))
	cmd.ExtraFiles = files
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if processes {
		attr.Cloneflags |= unix.CLONE_NEWPID | unix.CLONE_NEWNS
	}
	if !privileged() {
		// The user stays the same, so that files made inside belong to the user. It is
		// not root, and so only ambient capabilities survive the exec.
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
		attr.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_SYS_ADMIN, unix.CAP_NET_BIND_SERVICE}
	}
	cmd.SysProcAttr = attr
	return cmd
}

// privileged tells whether this process may make namespaces without a user
// namespace, which is possible where those are forbidden.
func privileged() bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&head, &data[0]) != nil {
		return false
	}
	const need = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_SYS_ADMIN
	return data[0].Effective&need == need
}

// notify is signal.Notify for the signals that this process doesn't ignore. What
// nohup makes it ignore, the processes that it starts ignore too.
func notify(to chan<- os.Signal, signals ...os.Signal) {
	for _, s := range signals {
		if !signal.Ignored(s) {
			signal.Notify(to, s)
		}
	}
}

// pass passes a signal on. SIGINT and SIGTERM go over the socket: a terminal, or
// a kill of the whole group, sends them to the inside too, which would count two.
// A command gets the terminal's signals by itself.
func (o Outside) pass(s syscall.Signal, inside socket, child *os.Process) {
	keys := s == unix.SIGINT || s == unix.SIGQUIT
	switch {
	case o.Processes && keys && foreground():
	case o.Processes, s == unix.SIGINT, s == unix.SIGTERM:
		_ = inside.send(message{Signal: int(s)}, nil)
	default:
		_ = child.Signal(s) // it may have ended
	}
}

// keepTerminal returns a function that gives the terminal back to this process
// group, if the group has it now: a shell inside can't, since it doesn't see the
// group's number.
func keepTerminal() (restore func()) {
	if !foreground() {
		return func() {}
	}
	return func() {
		signal.Ignore(unix.SIGTTOU) // TIOCSPGRP from the background sends it
		for fd := range 3 {
			if unix.IoctlSetPointerInt(fd, unix.TIOCSPGRP, unix.Getpgrp()) == nil {
				return
			}
		}
	}
}

// foreground tells whether the terminal's keys are signals to this process.
func foreground() bool {
	for fd := range 3 {
		if group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil {
			return group == unix.Getpgrp()
		}
	}
	return false
}

func exitStatus(s *os.ProcessState) int {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// refusal makes a sentence of a failed start.
func refusal(err error) error {
	reason := explain(err, func(name string) string {
		text, _ := os.ReadFile("/proc/sys/" + name)
		return strings.TrimSpace(string(text))
	})
	if reason == "" {
		return err
	}
	return &RefusedError{reason}
}

// explain says what refused a private network and what to do about it, or ""
// where the reason is unknown. sysctl returns a setting, "" where the kernel has
// none.
func explain(err error, sysctl func(name string) string) string {
	switch {
	case errors.Is(err, unix.ENOSPC):
		for _, kind := range []string{"user", "net", "pid", "mnt"} {
			if name := "user.max_" + kind + "_namespaces"; sysctl(strings.ReplaceAll(name, ".", "/")) == "0" {
				return "this system allows no private networks (" + name + " is 0): " +
					"run it with sudo, or sudo sysctl " + name + "=10000"
			}
		}
		return "this system has too many namespaces already (the user.max_*_namespaces): end some, or raise the bounds with sudo sysctl"
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES):
		return "this system lets no settings of a network be written (/proc/sys is read-only), as in most containers: " +
			"run it outside of the container, or give that --privileged"
	case errors.Is(err, unix.EPERM) && sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
		return "AppArmor allows no private networks to unprivileged programs (kernel.apparmor_restrict_unprivileged_userns is 1): " +
			"run it with sudo, or install the profile scripts/apparmor/gotimeout, or sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
	case errors.Is(err, unix.EPERM) && sysctl("kernel/unprivileged_userns_clone") == "0":
		return "this kernel allows no private networks to unprivileged programs (kernel.unprivileged_userns_clone is 0): " +
			"run it with sudo, or sudo sysctl kernel.unprivileged_userns_clone=1"
	case errors.Is(err, unix.EPERM):
		return "this system refuses private networks, as the seccomp filter of a container and a chroot do: " +
			"run it outside of the container, or give that --security-opt seccomp=unconfined"
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return "this kernel has no namespaces for users or networks (CONFIG_USER_NS, CONFIG_NET_NS): run it on another one"
	}
	return ""
}
