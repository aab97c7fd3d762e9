//go:build linux

package private_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/badnet/private"
)

func init() {
	roles["command"] = func() (int, error) {
		return both(private.Outside{Processes: true}, func(p *private.Process) (int, error) {
			return p.Command(context.Background(), os.Args[1:])
		})
	}
	roles["keeping"] = func() (int, error) {
		return both(private.Outside{Processes: true}, func(p *private.Process) (int, error) {
			p.KeepCapabilities = true
			return p.Command(context.Background(), os.Args[1:])
		})
	}
	// sleep is a lab that runs for a while and starts no processes.
	roles["sleep"] = func() (int, error) {
		return both(private.Outside{}, func(*private.Process) (int, error) {
			fmt.Println(os.Getpid())
			time.Sleep(time.Minute)
			return 0, nil
		})
	}
}

// A command changes neither the kernel's settings nor its network, also where it is root's; root may still give up being
// root.
func TestCommandIsConfined(t *testing.T) {
	const (
		kernel  = "exec 2>/dev/null 3>/proc/sys/kernel/panic"
		sysfs   = "exec 2>/dev/null 3>/sys/class/net/lo/tx_queue_len"
		own     = "exec </proc/sys/net/ipv4/ip_forward"
		rights  = "grep -hE '^(CapEff|NoNewPrivs)' /proc/self/status"
		devices = "ls /sys/class/net"
		groups  = "ls /sys/fs/cgroup 2>/dev/null | wc -l"
		group   = "for f in $(find /sys/fs/cgroup -name cgroup.procs 2>/dev/null | head -1); do exec 3>$f; done"
		nobody  = "setpriv --reuid=65534 --regid=65534 --clear-groups id -u"
	)
	// The default of containers, without CAP_MKNOD.
	const most = 0xa00425fb
	users(t, func(t *testing.T, uid int) {
		output := func(role, script string) string {
			t.Helper()
			status, stdout, stderr := run(t, program(t, uid, role, "sh", "-c", script))
			if status != 0 {
				t.Errorf("%s: %s: exit status %d: %s", role, script, status, stderr)
			}
			return stdout
		}
		for _, script := range []string{kernel, sysfs} {
			if status, _, _ := run(t, program(t, uid, "command", "sh", "-c", script)); status == 0 {
				t.Errorf("the command may write: %s", script)
			}
		}
		output("command", own)
		var caps uint64
		var stuck int
		text := output("command", rights)
		if n, _ := fmt.Sscanf(text, "CapEff:\t%x\nNoNewPrivs:\t%d", &caps, &stuck); n != 2 || stuck != 1 || caps&^most != 0 || uid != 0 && caps != 0 {
			t.Errorf("the command has the capabilities %x: %s", caps, text)
		}
		if uid != 0 {
			return
		}
		if got := output("command", devices); got != "lo\n" {
			t.Errorf("/sys shows the devices %q", got)
		}
		if outside, _ := exec.Command("sh", "-c", groups).Output(); output("command", groups) != string(outside) {
			t.Errorf("the command has not the %s control groups of outside", outside)
		}
		if files, _ := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs"); len(files) > 0 {
			if status, _, _ := run(t, program(t, uid, "command", "sh", "-c", group)); status == 0 {
				t.Error("the command may leave its control group")
			}
		}
		if got := output("command", nobody); got != "65534\n" {
			t.Errorf("root becomes %q", got)
		}
		output("keeping", kernel)
		if text := output("keeping", rights); !strings.Contains(text, "NoNewPrivs:\t0") {
			t.Error(text)
		}
	})
}

func TestCommand(t *testing.T) {
	users(t, func(t *testing.T, uid int) {
		for script, want := range map[string]struct {
			status int
			stdout string
		}{
			"exit 7":        {7, ""},
			"kill -9 $$":    {128 + 9, ""},
			"kill -TERM $$": {128 + 15, ""},
			"id -u; id -g":  {0, fmt.Sprintf("%d\n%d\n", uid, os.Getgid()|uid)},
			"echo $GREETING; unset GREETING; env | grep -c GOTIMEOUT_INSIDE":                 {1, "hello\n0\n"},
			"sh -c '(sleep 60 &) ; exit 0'; exit 0":                                          {0, ""},
			"kill -0 1 2>/dev/null; ls /proc | grep -c '^[0-9]*$' | awk '{ print $1 < 10 }'": {0, "1\n"},
		} {
			cmd := program(t, uid, "command", "sh", "-c", script)
			cmd.Env = append(cmd.Env, "GREETING=hello")
			began := time.Now()
			status, stdout, stderr := run(t, cmd)
			if status != want.status || stdout != want.stdout {
				t.Errorf("%s: exit status %d, %q, want %d, %q: %s", script, status, stdout, want.status, want.stdout, stderr)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("%s took %s: the processes that it left behind did not end with it", script, took)
			}
		}
	})
}

// A command inside has no capability that it would not have outside.
func TestCommandHasNoCapabilities(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("root keeps its capabilities")
	}
	uid := nobody
	if os.Getuid() != 0 {
		uid = os.Getuid()
	}
	needPrivate(t, uid)
	status, stdout, stderr := run(t, program(t, uid, "command", "grep", "-E", "Cap(Inh|Prm|Eff|Amb)", "/proc/self/status"))
	if status != 0 || strings.Count(stdout, "0000000000000000") != 4 {
		t.Errorf("exit status %d: %s%s", status, stdout, stderr)
	}
}

func TestCommandNotThere(t *testing.T) {
	needPrivate(t, os.Getuid())
	for name, want := range map[string]int{"no-such-command": 127, "/etc/passwd": 126} {
		status, _, stderr := run(t, program(t, os.Getuid(), "command", name))
		if status != want || !strings.Contains(stderr, name) {
			t.Errorf("%s: exit status %d, want %d: %s", name, status, want, stderr)
		}
	}
}

// line starts a command and returns the first line of its output.
func line(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(first)
}

// A signal to the process outside reaches the command, and the command's exit status
// comes back.
func TestSignalsReachTheCommand(t *testing.T) {
	needPrivate(t, os.Getuid())
	for name, sig := range map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "USR1": syscall.SIGUSR1} {
		if signal.Ignored(sig) { // nohup ignores SIGHUP, and a shell can't trap a signal that was ignored at its start
			continue
		}
		cmd := program(t, os.Getuid(), "command", "sh", "-c", "trap 'exit 42' "+name+"; echo ready; while :; do sleep 0.05; done")
		line(t, cmd)
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 42 {
			t.Errorf("%s: %s, want exit status 42", name, cmd.ProcessState)
		}
	}
}

// However one of the two processes ends, the other ends too, and so do the processes
// that were started inside.
func TestKill(t *testing.T) {
	users(t, func(t *testing.T, uid int) {
		t.Run("outside", func(t *testing.T) {
			cmd := program(t, uid, "sleep")
			inside, _ := strconv.Atoi(line(t, cmd))
			kill(t, cmd.Process.Pid)
			_ = cmd.Wait()
			gone(t, inside)
		})
		t.Run("inside", func(t *testing.T) {
			cmd := program(t, uid, "sleep")
			inside, _ := strconv.Atoi(line(t, cmd))
			kill(t, inside)
			if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 128+9 {
				t.Errorf("%s, want exit status 137", cmd.ProcessState)
			}
		})
		t.Run("outside, with processes", func(t *testing.T) {
			// The command's child runs as long as it holds the lock.
			lock, err := os.CreateTemp("", "lock")
			if err != nil {
				t.Fatal(err)
			}
			defer os.Remove(lock.Name())
			if err := lock.Chmod(0o666); err != nil {
				t.Fatal(err)
			}
			cmd := program(t, uid, "command", "sh", "-c", "setsid flock "+lock.Name()+" sh -c 'echo locked; sleep 60' & wait")
			line(t, cmd)
			kill(t, cmd.Process.Pid)
			_ = cmd.Wait()
			eventually(t, "the command's child is still there", func() bool {
				return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
			})
		})
	})
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func gone(t *testing.T, pid int) {
	t.Helper()
	eventually(t, fmt.Sprintf("process %d is still there", pid), func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

func eventually(t *testing.T, otherwise string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
	}
}
