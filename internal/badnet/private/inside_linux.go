package private

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Process is this process, inside of a private network.
type Process struct {
	Listener net.Listener          // the outside's, nil where it has none
	Signals  <-chan syscall.Signal // sent to the outside, and passed on

	// KeepCapabilities leaves root's commands all that root may do. See Command.
	KeepCapabilities bool

	socket socket

	mu      sync.Mutex
	asked   uint64
	waiting map[uint64]chan dialed
	ended   error // why the outside does not answer any more
}

type dialed struct {
	file *os.File
	err  error
}

// dialError is the error of a dial outside.
type dialError struct {
	text  string
	errno syscall.Errno // 0 where there was none
}

func (e *dialError) Error() string { return e.text }

func (e *dialError) Unwrap() error {
	if e.errno == 0 {
		return nil
	}
	return e.errno
}

// Inside tells whether this process was started by Run.
func Inside() bool { return os.Getenv(insideEnv) != "" }

// Enter brings up the private network of this process. It must be called once,
// with the Processes that Run was called with. From then on SIGINT and SIGTERM
// arrive on Signals. The outside's Run returns the RefusedError that Enter does.
func Enter(processes bool) (*Process, error) {
	files, err := strconv.Atoi(os.Getenv(insideEnv))
	if err != nil {
		return nil, fmt.Errorf("%s=%q is set by gotimeout alone: unset it", insideEnv, os.Getenv(insideEnv))
	}
	os.Unsetenv(insideEnv)
	const first = 3 // after the standard streams
	for fd := first; fd <= first+files; fd++ {
		unix.CloseOnExec(fd) // the commands inside don't get these
	}
	s, err := open(os.NewFile(first, "outside"))
	if err != nil {
		return nil, ErrSet
	}
	signals := make(chan syscall.Signal, 16)
	p := &Process{Signals: signals, socket: s, waiting: map[uint64]chan dialed{}}
	if files > 0 {
		f := os.NewFile(first+1, "listener")
		p.Listener, err = net.FileListener(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("the listener of the process outside: %w", err)
		}
	}
	// A signal to the whole group reaches the outside too, which passes it on.
	notify(make(chan os.Signal, 1), unix.SIGINT, unix.SIGTERM)
	go p.listen(signals)
	if processes {
		ownProc()
	}
	if err := up(); err != nil {
		err = Refused(refusal(err))
		_ = p.Refuse(err.Error())
		return nil, err
	}
	return p, nil
}

// ownProc mounts a /proc with the processes inside only. A container may refuse
// it; then /proc shows the outside's processes, which does no harm.
func ownProc() {
	if unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") == nil {
		_ = unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
}

// up brings the loopback up.
func up() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return wrap("the private network's loopback", err)
	}
	for _, setting := range []struct{ name, value string }{
		// A connection must not start with what the kernel learned from one before.
		{"ipv4/tcp_no_metrics_save", "1"},
		{"ipv4/ping_group_range", fmt.Sprintf("%d %d", os.Getegid(), os.Getegid())},
	} {
		if err := Sysctl(setting.name, setting.value); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return wrap("the private network's loopback", netlink.LinkSetUp(lo))
}

// Sysctl writes a setting under /proc/sys/net, for the network of this process.
func Sysctl(name, value string) error {
	return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0)
}

// Ready tells the outside that the work has begun: the outside closes its listener,
// and can no longer do the work itself.
func (p *Process) Ready() error { return p.socket.send(message{Ready: true}, nil) }

// Refuse tells the outside why the private network is of no use: the outside's Run
// returns the reason. This process must then end.
func (p *Process) Refuse(reason string) error { return p.socket.send(message{Refused: reason}, nil) }

// Dial connects to one of the outside's Servers. The error has the errno of the
// dial outside.
func (p *Process) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	id, answer, err := p.ask()
	if err != nil {
		return nil, err
	}
	if err := p.socket.send(message{ID: id, Dial: &Server{network, addr}}, nil); err != nil {
		p.mu.Lock()
		delete(p.waiting, id)
		p.mu.Unlock()
		return nil, err
	}
	select {
	case d := <-answer:
		if d.err != nil {
			return nil, d.err
		}
		defer d.file.Close()
		return net.FileConn(d.file)
	case <-ctx.Done():
		go func() { // closes a connection that arrives too late
			if d := <-answer; d.file != nil {
				d.file.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// ask returns the id of a new question, and the channel of its answer.
func (p *Process) ask() (id uint64, answer chan dialed, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended != nil {
		return 0, nil, p.ended
	}
	p.asked++
	answer = make(chan dialed, 1)
	p.waiting[p.asked] = answer
	return p.asked, answer, nil
}

// listen receives the outside's messages until it ends.
func (p *Process) listen(signals chan<- syscall.Signal) {
	for {
		m, file, err := p.socket.receive()
		if err != nil {
			p.end(err)
			return
		}
		if m.Signal != 0 {
			select {
			case signals <- syscall.Signal(m.Signal):
			default: // as many are waiting already
			}
			continue
		}
		d := dialed{file: file}
		if file == nil {
			d.err = &dialError{cmp.Or(m.Error, "the connection could not be handed over: too many open files"), syscall.Errno(m.Errno)}
		}
		p.mu.Lock()
		answer := p.waiting[m.ID]
		delete(p.waiting, m.ID)
		p.mu.Unlock()
		if answer != nil {
			answer <- d
		}
	}
}

func (p *Process) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if errors.Is(err, io.EOF) {
		err = errors.New("the process outside has ended")
	}
	p.ended = err
	for _, answer := range p.waiting {
		answer <- dialed{err: err}
	}
	clear(p.waiting)
}

// The exit statuses for a command that could not be run are a shell's.
const (
	notExecutable = 126
	notFound      = 127
)

// Command runs a command inside, with the user of whoever started this program, and
// returns its exit status. It kills the command when ctx is done. This process must be the
// first one inside: all processes that the command leaves behind end with it.
//
// The command can change this network as little as an unprivileged user's, and nothing of the kernel
// outside, also where it is root's: see confine.
func (p *Process) Command(ctx context.Context, args []string) (status int, err error) {
	// The terminal's signals reach the command by themselves.
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
	child, err := start(path, args, p.KeepCapabilities)
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
			case <-ctx.Done():
				_ = child.Kill()
				return
			case <-ended:
				return
			}
		}
	}()
	return reap(child.Pid)
}

// start starts a process without the capabilities that this one was given.
func start(path string, args []string, keep bool) (*os.Process, error) {
	// Capabilities belong to a thread, and a child has those of the thread that forks.
	runtime.LockOSThread()
	if err := confine(keep); err != nil {
		return nil, err
	}
	return os.StartProcess(path, args, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
}

// reap waits for the child, and for orphans: the first process inside is their
// parent.
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
