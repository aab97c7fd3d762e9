//go:build unix

package slowops_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gotimeout/slowops"
)

// shell returns a command of sh.
func shell(script string) slowops.Command {
	return slowops.Command{Name: "sh", Args: []string{"-c", script}}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		op   slowops.Command
		want string
	}{
		"completes": {shell("echo out; echo err >&2"), ""},
		"status":    {shell("exit 3"), "command: exit status 3"},
		"killed":    {shell("kill -9 $$"), "command: signal: killed"},
		"missing":   {slowops.Command{Name: "no-such-program"}, "command: executable file not found in $PATH"},
		"no input":  {shell("read line && exit 4; exit 0"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tt.op.Do(t.Context(), slowops.Call{Delay: time.Hour}); text(err) != tt.want {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// An aware command is killed with its whole process group, and a deaf command runs to its end.
func TestCommandCancelled(t *testing.T) {
	t.Parallel()
	pids := filepath.Join(t.TempDir(), "pids")
	ctx, cancel := context.WithTimeout(t.Context(), 40*short) // the shell has written the file by then
	defer cancel()
	took, err := timed(ctx, shell("sleep 300 & echo $! >"+pids+"; wait").Do, slowops.Call{})
	if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "command: context deadline exceeded" || took > patience {
		t.Errorf("aware: %v after %s", err, took)
	}
	eventually(t, "the child of the program has ended", func() bool { return !isRunning(t, pids) })
	took, err = timed(ctx, shell("sleep 0.4").Do, slowops.Call{Deaf: true})
	if err != nil || took < 4*short {
		t.Errorf("deaf: %v after %s", err, took)
	}
	if _, err = timed(t.Context(), shell("sleep 300").Do, slowops.Call{Deaf: true, Limit: short}); !errors.Is(err, slowops.ErrLimit) {
		t.Errorf("deaf, over its limit: %v", err)
	}
}

// The processes that a program leaves in its process group are reported and killed.
func TestCommandOrphans(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{
		"sleep 300 & echo $! >":    1,
		"sleep 0 & wait; echo 1 >": 0,
	} {
		pids, orphans := filepath.Join(t.TempDir(), "pids"), 0
		c := slowops.Call{}
		c.Orphaned = func() { orphans++ }
		if err := shell(script+pids).Do(t.Context(), c); err != nil || orphans != want {
			t.Errorf("%s: %v, %d orphans", script, err, orphans)
		}
		if want > 0 {
			eventually(t, "the orphan has ended", func() bool { return !isRunning(t, pids) })
		}
	}
}

// isRunning reports whether the process whose number is in a file runs. A process that has
// ended may not have been waited for.
func isRunning(t *testing.T, path string) bool {
	t.Helper()
	text, err := os.ReadFile(path)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid == 0 {
		t.Fatalf("%s: %q, %v", path, text, err)
	}
	stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return syscall.Kill(pid, 0) == nil && !strings.Contains(string(stat), ") Z ")
}

// An aware command is killed with its children when its context ends.
func ExampleCommand() {
	op := slowops.Command{Name: "sleep", Args: []string{"60"}}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	fmt.Println(op.Do(ctx, slowops.Call{}))
	// Output: command: context deadline exceeded
}
