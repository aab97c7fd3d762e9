package main

import (
	"bufio"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// A signal ends it at once, in the middle of its minute.
func TestTimewaitInterrupted(t *testing.T) {
	for name, sig := range map[string]syscall.Signal{"SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			cmd := asTimewait(t)
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_, noLine := bufio.NewReader(stdout).ReadString('\n')
			began := time.Now()
			if noLine == nil {
				err = cmd.Process.Signal(sig)
			}
			_ = cmd.Wait()
			switch code := cmd.ProcessState.ExitCode(); {
			case code == exitNoNetwork:
				t.Skip("no private network here")
			case code != exitInterrupted || err != nil || time.Since(began) > 10*time.Second:
				t.Errorf("exit code %d after %s: %v", code, time.Since(began), err)
			}
		})
	}
}

// asTimewait is the program, at its longest experiment.
func asTimewait(t *testing.T) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "timewait", "--only", "how-long")
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}
