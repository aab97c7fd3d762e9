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
	// look prints its user and its network, and whether it can dial a server of the
	// outside by itself.
	roles["look"] = func() (int, error) {
		return both(private.Outside{}, func(*private.Process) (int, error) {
			links, err := net.Interfaces()
			for _, l := range links {
				addrs, _ := l.Addrs()
				fmt.Println(l.Name, l.Flags&net.FlagUp != 0, addrs)
			}
			_, dialErr := net.Dial("tcp", os.Args[1])
			packets, packetErr := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0)
			syscall.Close(packets)
			err = errors.Join(err, packetErr)
			fmt.Println("uid", os.Getuid(), "reached", dialErr == nil, "env", os.Getenv("GOTIMEOUT_INSIDE"))
			return 0, err
		})
	}
	// serve answers one connection on the listener that the outside passed in.
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
	// dial prints the greetings of the outside's servers.
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

// speaker listens outside and sends text on each connection.
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

// The network inside is a loopback of both families, where drivers may open packet sockets, and nothing of the outside can be
// reached. The user is the same.
func TestNetworkInside(t *testing.T) {
	addr := speaker(t, "outside")
	users(t, func(t *testing.T, uid int) {
		status, stdout, stderr := run(t, program(t, uid, "look", addr))
		want := fmt.Sprintf("lo true [127.0.0.1/8 ::1/128]\nuid %d reached false env \n", uid)
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
			t.Errorf("the inside answered %q", text)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// The inside can dial the servers that the outside named, and no others. An error
// inside is the error of the dial outside.
func TestDial(t *testing.T) {
	addr := speaker(t, "outside")
	held, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	closed := held.LocalAddr().String() // nobody can listen there meanwhile
	users(t, func(t *testing.T, uid int) {
		status, stdout, stderr := run(t, program(t, uid, "dial", addr, closed))
		want := fmt.Sprintf("outside from %s\nerror: dial tcp %s: connect: connection refused\nerror: not one of the servers that were named\n", addr, closed)
		if status != 0 || stdout != want {
			t.Errorf("exit status %d, %q, want %q: %s", status, stdout, want, stderr)
		}
	})
}

// roleEnv names the role that this test binary plays instead of running the tests.
const roleEnv = "GOTIMEOUT_TEST_ROLE"

// The process outside runs a role, and the process inside runs the same role again.
var roles = map[string]func() (status int, err error){}

// binary is a copy of the test binary that any user may execute.
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

// users runs a test as the current user, and where that is root, also as nobody.
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

// needPrivate skips a test where the system allows no private network; a test can
// install nothing against that. .ci/run prints whether the system allows one.
func needPrivate(t *testing.T, uid int) {
	t.Helper()
	if status, _, stderr := run(t, program(t, uid, "exit", "0")); status != 0 {
		t.Skipf("this system allows no private network: %s", stderr)
	}
}

// program returns a command that runs this binary in a role.
func program(t *testing.T, uid int, role string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), roleEnv+"="+role, "GORACE=atexit_sleep_ms=0") // without it each process sleeps for a second at its end
	cmd.WaitDelay = 20 * time.Second
	if uid != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	return cmd
}

// run runs cmd and returns its exit status and its output.
func run(t *testing.T, cmd *exec.Cmd) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal("the command did not run")
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// both starts this program again inside a private network, and calls inside there.
func both(o private.Outside, inside func(p *private.Process) (int, error)) (int, error) {
	return private.Work{Outside: o, Inside: func(_ context.Context, p *private.Process) (int, error) { return inside(p) }}.Do(context.Background())
}
