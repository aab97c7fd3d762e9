//go:build linux

package private_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/badnet/private"
)

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
	if !private.Inside() {
		return private.Run(o)
	}
	p, err := private.Enter(o.Processes)
	if err != nil {
		return 0, err
	}
	return inside(p)
}
