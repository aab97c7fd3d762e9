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

// users runs a test as this user and, where this user is root, also as nobody. prefix is the
// start of a command line that runs a command as that user.
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

// asNobody returns the prefix for the user nobody. The script gives nobody a /dev/net/tun, which
// any user may open on Debian; in a container often only root may.
func asNobody(t *testing.T) []string {
	t.Helper()
	const script = `{ [ -e "$0/tun" ] || mknod "$0/tun" c 10 200; } && chmod 666 "$0/tun" && mount --bind "$0/tun" /dev/net/tun &&
		exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"`
	return []string{"unshare", "-m", "sh", "-c", script, openDir(t)}
}

// openDir returns a directory that any user may read.
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

// binary returns a copy of this program that any user may execute.
func binary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(openDir(t), "gotimeout")
	from, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	// No child may inherit the file while it is open to be written: execve would answer
	// "text file busy" (https://go.dev/issue/22315).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
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

// command returns a command that runs this program.
func command(t *testing.T, prefix []string, args ...string) *exec.Cmd {
	t.Helper()
	line := append(append(append([]string{}, prefix...), binary(t)), args...)
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0")
	cmd.WaitDelay = 20 * time.Second
	return cmd
}

// needPackets skips a test where the system allows no private network; a test can
// install nothing against that. .ci/run prints whether the system allows one.
func needPackets(t *testing.T, prefix []string) {
	t.Helper()
	cmd := command(t, prefix, "network", "run", "none", "--", "true")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("this system allows no private network: %v, %s", err, out)
	}
}

// labProcess starts the program as a lab in a process of its own.
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
