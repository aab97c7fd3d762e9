package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A program that finds the variable of the process inside, and was not started as that, says so.
func TestInsideByMistake(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"serve", "--addr=127.0.0.1:0"},
		{"serve", "--addr=127.0.0.1:0", "--network-driver=proxy"},
		{"serve", "--addr=127.0.0.1:0", "--network=3g"},
		{"network", "run", "3g", "--", "true"},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
		cmd.Env = append(os.Environ(), asProgram+"=1", "GOTIMEOUT_INSIDE=1", "GORACE=atexit_sleep_ms=0")
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.HasSuffix(string(out), "gotimeout: GOTIMEOUT_INSIDE is set by gotimeout alone: unset it\n") || strings.Contains(string(out), "panic") {
			t.Errorf("%v: %v, %s", args, err, out)
		}
	}
}
