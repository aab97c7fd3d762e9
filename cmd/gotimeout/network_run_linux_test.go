package main

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What the user ignores, as by nohup, the command ignores too.
func TestNetworkRunKeepsIgnoredSignals(t *testing.T) {
	needPackets(t, nil)
	prefix := []string{"sh", "-c", `trap "" HUP; exec "$@"`, "sh"}
	out, err := command(t, prefix, "network", "run", "none", "--", "sh", "-c", "kill -HUP $$; echo survived").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "survived") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestNetworkRunRefuses(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"3g", "--sed", "5", "--", "true"}, "unknown flag --sed: there are --driver and --seed"},
		{[]string{"5g", "--", "true"}, "unknown network preset"},
		{[]string{"delay=1ms", "los=1%", "--", "true"}, "(what stands before -- is the profile)"},
		{[]string{"3g", "--"}, "there is no command: write it after --"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"network", "run"}, test.args...), &stdout, &stderr)
		if code != exitUsage || !strings.Contains(stderr.String(), test.want) {
			t.Errorf("%v: exit code %d: %s", test.args, code, &stderr)
		}
	}
}

// A signal to the process outside ends what goes on inside.
func TestNetworkCheckInterrupted(t *testing.T) {
	needPackets(t, nil)
	cmd := command(t, nil, "network", "check", "delay=10s") // which takes a minute
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	into := 500 * time.Millisecond
	if os.Getenv("GOTIMEOUT_NETEM") == "require" {
		into = 10 * time.Second // an emulated machine takes seconds to start the program
	}
	time.Sleep(into)
	began := time.Now()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != exitInterrupted || time.Since(began) > 20*time.Second {
		t.Errorf("%s after %s", cmd.ProcessState, time.Since(began))
	}
}
