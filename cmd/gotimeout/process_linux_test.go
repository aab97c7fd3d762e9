package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// users runs a test as this user and, where that is root, as nobody; prefix is
// what runs a command as that one.
func users(t *testing.T, test func(t *testing.T, prefix []string)) {
	t.Helper()
	t.Run("as this user", func(t *testing.T) {
		needPackets(t, nil)
		test(t, nil)
	})
	if os.Getuid() == 0 {
		t.Run("as nobody", func(t *testing.T) {
			prefix := asNobody(t)
			needPackets(t, prefix)
			test(t, prefix)
		})
	}
}

// asNobody runs a command as a user who may open /dev/net/tun, as on a stock
// Debian; a container's is often root's alone.
func asNobody(t *testing.T) []string {
	t.Helper()
	const script = `{ [ -e "$0/tun" ] || mknod "$0/tun" c 10 200; } && chmod 666 "$0/tun" && mount --bind "$0/tun" /dev/net/tun &&
		exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"`
	return []string{"unshare", "-m", "sh", "-c", script, openDir(t)}
}

// openDir is a directory that any user may look into.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lab")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// binary is this program in a place where any user may execute it.
func binary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(openDir(t), "gotimeout")
	from, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// command is this program in a process.
func command(t *testing.T, prefix []string, args ...string) *exec.Cmd {
	t.Helper()
	line := append(append(append([]string{}, prefix...), binary(t)), args...)
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0")
	cmd.WaitDelay = 20 * time.Second
	return cmd
}

// needPackets skips a test where the system has no private network to give, which
// nothing that a test could install would change. .ci/run says which it has.
func needPackets(t *testing.T, prefix []string) {
	t.Helper()
	cmd := command(t, prefix, "network", "run", "none", "--", "true")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("no private network here: %v, %s", err, out)
	}
}

// labProcess is the program, serving in a process.
func labProcess(t *testing.T, prefix []string, args ...string) (program, running) {
	t.Helper()
	cmd := serving(t, command(t, prefix, append([]string{"serve", "--addr=127.0.0.1:0"}, args...)...))
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		http.DefaultClient.CloseIdleConnections()
	})
	return program{url: servingAt.FindStringSubmatch(cmd.log)[1]}, cmd
}
