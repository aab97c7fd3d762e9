//go:build linux

package private_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/badnet/private"
)

func init() {
	roles["exit"] = func() (int, error) {
		return both(private.Outside{}, func(*private.Process) (int, error) { return strconv.Atoi(os.Args[1]) })
	}
	roles["refuse"] = func() (int, error) {
		return both(private.Outside{}, func(*private.Process) (int, error) {
			return 3, private.Refused(errors.Join(errors.New("there is"), errors.New("no driver")))
		})
	}
	// look says who it is and what network there is, and whether it reaches a
	// server of the outside by itself.
	roles["look"] = func() (int, error) {
		return both(private.Outside{}, func(*private.Process) (int, error) {
			links, err := net.Interfaces()
			for _, l := range links {
				addrs, _ := l.Addrs()
				fmt.Println(l.Name, l.Flags&net.FlagUp != 0, addrs)
			}
			_, dialErr := net.Dial("tcp", os.Args[1])
			fmt.Println("uid", os.Getuid(), "reached", dialErr == nil, "env", os.Getenv("GOTIMEOUT_INSIDE"))
			return 0, err
		})
	}
	// serve answers one connection on the listener that it was handed.
	roles["serve"] = func() (int, error) {
		var listener *net.TCPListener
		if !private.Inside() {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return 1, err
			}
			fmt.Println(l.Addr())
			listener = l.(*net.TCPListener)
		}
		return both(private.Outside{Listener: listener}, func(p *private.Process) (int, error) {
			if err := p.Ready(); err != nil {
				return 1, err
			}
			conn, err := p.Listener.Accept()
			if err != nil {
				return 1, err
			}
			defer conn.Close()
			_, err = io.WriteString(conn, "from inside")
			return 0, err
		})
	}
	// dial says what the outside's servers say.
	roles["dial"] = func() (int, error) {
		servers := []private.Server{{Network: "tcp", Addr: os.Args[1]}, {Network: "tcp", Addr: os.Args[2]}}
		return both(private.Outside{Servers: servers}, func(p *private.Process) (int, error) {
			for _, addr := range []string{os.Args[1], os.Args[2], "127.0.0.1:1"} {
				conn, err := p.Dial(context.Background(), "tcp", addr)
				if err != nil {
					fmt.Println("error:", err)
					continue
				}
				text, _ := io.ReadAll(conn)
				fmt.Printf("%s from %s\n", text, conn.RemoteAddr())
				conn.Close()
			}
			return 0, nil
		})
	}
}

func TestExitStatus(t *testing.T) {
	users(t, func(t *testing.T, uid int) {
		for _, want := range []int{0, 7, 125} {
			if status, _, stderr := run(t, program(t, uid, "exit", strconv.Itoa(want))); status != want {
				t.Errorf("exit status %d, want %d: %s", status, want, stderr)
			}
		}
	})
}

func TestRefuse(t *testing.T) {
	needPrivate(t, os.Getuid())
	status, _, stderr := run(t, program(t, os.Getuid(), "refuse"))
	if status != 1 || strings.TrimSpace(stderr) != "there is; no driver" {
		t.Errorf("exit status %d: %s", status, stderr)
	}
}

// speaker listens outside and says text to whoever comes.
func speaker(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, text)
			conn.Close()
		}
	}()
	return l.Addr().String()
}

// Nothing but a loopback is in there, without ::1, and nothing of the outside;
// the user is the same.
func TestNetworkInside(t *testing.T) {
	addr := speaker(t, "outside")
	users(t, func(t *testing.T, uid int) {
		status, stdout, stderr := run(t, program(t, uid, "look", addr))
		want := fmt.Sprintf("lo true [127.0.0.1/8]\nuid %d reached false env \n", uid)
		if status != 0 || stdout != want {
			t.Errorf("exit status %d, %q, want %q: %s", status, stdout, want, stderr)
		}
	})
}

func TestListenerIsHandedIn(t *testing.T) {
	users(t, func(t *testing.T, uid int) {
		cmd := program(t, uid, "serve")
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var addr string
		if _, err := fmt.Fscanln(stdout, &addr); err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if text, _ := io.ReadAll(conn); string(text) != "from inside" {
			t.Errorf("it said %q", text)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// The inside is connected to the servers that the outside named, and to no
// others; an error is the one that there was outside.
func TestDial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	addr := speaker(t, "outside")
	users(t, func(t *testing.T, uid int) {
		status, stdout, stderr := run(t, program(t, uid, "dial", addr, closed))
		want := fmt.Sprintf("outside from %s\nerror: dial tcp %s: connect: connection refused\nerror: not one of the servers that were named\n", addr, closed)
		if status != 0 || stdout != want {
			t.Errorf("exit status %d, %q, want %q: %s", status, stdout, want, stderr)
		}
	})
}

// roleEnv names what this test binary is to be instead of a test.
const roleEnv = "GOTIMEOUT_TEST_ROLE"

// roles are run by the process outside and, once more, by the one inside.
var roles = map[string]func() (status int, err error){}

// binary is a copy of this one that any user may execute.
var binary string

func TestMain(m *testing.M) {
	if role := roles[os.Getenv(roleEnv)]; role != nil {
		status, err := role()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = max(status, 1)
		}
		os.Exit(status)
	}
	dir, err := os.MkdirTemp("", "private")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	binary = filepath.Join(dir, "test")
	if err == nil {
		err = copyFile(binary, os.Args[0])
	}
	status := 1
	if err == nil {
		status = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, in)
	return err
}

const nobody = 65534

// users are those that the tests run as: this one, and where that is root,
// nobody too.
func users(t *testing.T, test func(t *testing.T, uid int)) {
	t.Helper()
	each := []struct {
		name string
		uid  int
	}{{"as this user", os.Getuid()}, {"as nobody", nobody}}
	if os.Getuid() != 0 {
		each = each[:1]
	}
	for _, user := range each {
		t.Run(user.name, func(t *testing.T) {
			needPrivate(t, user.uid)
			test(t, user.uid)
		})
	}
}

// needPrivate skips a test where the system has no private network to give, which
// nothing that a test could install would change. .ci/run says which it has.
func needPrivate(t *testing.T, uid int) {
	t.Helper()
	if status, _, stderr := run(t, program(t, uid, "exit", "0")); status != 0 {
		t.Skipf("no private network here: %s", stderr)
	}
}

// program is this binary in a role.
func program(t *testing.T, uid int, role string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), roleEnv+"="+role, "GORACE=atexit_sleep_ms=0") // a second at the end of each, else
	cmd.WaitDelay = 20 * time.Second
	if uid != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	return cmd
}

// run runs it and returns its exit status and what it wrote.
func run(t *testing.T, cmd *exec.Cmd) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal("it was not run")
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// both runs this program inside, and there that.
func both(o private.Outside, inside func(p *private.Process) (int, error)) (int, error) {
	return private.Work{Outside: o, Inside: func(_ context.Context, p *private.Process) (int, error) { return inside(p) }}.Do(context.Background())
}
