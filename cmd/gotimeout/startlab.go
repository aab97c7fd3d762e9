package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"gotimeout/internal/load"
)

// openLab returns the lab at a URL, and a func that closes it. If the URL is "", openLab
// starts a lab for the plan, with further flags of serve and further environment variables.
// It fills the plan in.
func openLab(ctx context.Context, url, token string, plan *load.Plan, otherwise load.Plan, env []string, flags ...string) (lab *load.Lab, closeIt func(), err error) {
	stop := func() {}
	if url != "" {
		if err := ofLab(env, "--url"); err != nil {
			return nil, nil, err
		}
	} else {
		if url, stop, err = startLab(ctx, *plan, env, flags...); err != nil {
			return nil, nil, err
		}
	}
	lab, err = load.OpenLab(url, token)
	if err != nil {
		stop()
		return nil, nil, usagef("--url: %w", err)
	}
	closeIt = func() { lab.Close(); stop() }
	facts, err := lab.Facts(ctx)
	if err != nil {
		closeIt()
		return nil, nil, err
	}
	fillIn(plan, facts, otherwise)
	return lab, closeIt, nil
}

// served matches the lab's URL in its log.
var served = regexp.MustCompile(`msg=serving url=(\S+)`)

// startTime is how long the lab may take to start serving.
const startTime = 30 * time.Second

// startLab starts a lab in a process of its own, so that its goroutines, processor time and
// memory are the lab's alone, without those of the load.
func startLab(ctx context.Context, plan load.Plan, env []string, flags ...string) (url string, stop func(), err error) {
	program, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	args := []string{"serve", "--addr=127.0.0.1:0", "--no-public", "--receipts=" + strconv.Itoa(max(10_000, plan.Receipts()))}
	if len(plan.Networks) > 0 {
		args = append(args, "--network=none")
	}
	dir, err := os.MkdirTemp("", "gotimeout-lab-") // the lab is killed, and can't remove what its queue keeps
	if err != nil {
		return "", nil, err
	}
	process := exec.Command(program, append(args, flags...)...)
	process.Env = slices.Concat(without(os.Environ(), "GOTIMEOUT_ADDR", "PORT", "GOTIMEOUT_NETWORK"), env,
		[]string{"TMPDIR=" + dir, "TMP=" + dir, "TEMP=" + dir}) // of two variables with one name the last counts
	process.SysProcAttr = apart()
	url, end, err := startProcess(ctx, process)
	if err != nil {
		os.RemoveAll(dir)
		return "", nil, err
	}
	return url, func() { end(); os.RemoveAll(dir) }, nil
}

// startProcess starts a process that serves a lab.
func startProcess(ctx context.Context, process *exec.Cmd) (url string, stop func(), err error) {
	log, err := process.StderrPipe()
	if err != nil {
		return "", nil, err
	}
	started, followed, ended := make(chan error), make(chan bool), make(chan bool)
	go func() {
		// The kernel ends the child with the thread that started it (https://go.dev/issue/27505).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := process.Start()
		started <- err
		if err == nil {
			<-followed
			_ = process.Wait()
		}
	}()
	if err := <-started; err != nil {
		return "", nil, fmt.Errorf("the lab could not be started: %w", err)
	}
	stop = func() {
		_ = process.Process.Kill() // the lab has nothing that it must finish
		<-ended
	}
	url, err = follow(ctx, log, followed)
	if err != nil {
		stop()
		if process.ProcessState.ExitCode() == exitUsage { // a bad environment variable
			err = usageError{err}
		}
		return "", nil, err
	}
	return url, stop, nil
}

// follow reads the log until the lab serves, and drops the rest of it until done.
func follow(ctx context.Context, log io.Reader, done chan<- bool) (url string, err error) {
	found := make(chan string, 1)
	said := make(chan string, 1)
	go func() {
		defer close(done)
		last := ""
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if match := served.FindStringSubmatch(lines.Text()); match != nil {
				found <- match[1]
				break
			}
			if !strings.HasPrefix(last, "gotimeout: ") { // the line after the error only names the help
				last = lines.Text()
			}
		}
		said <- last
		_, _ = io.Copy(io.Discard, log)
	}()
	select {
	case url := <-found:
		return url, nil
	case last := <-said:
		select {
		case url := <-found:
			return url, nil
		default:
		}
		return "", errors.New("the lab could not be started: " + strings.TrimPrefix(last, "gotimeout: "))
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(startTime):
		return "", fmt.Errorf("the lab did not serve within %s", startTime)
	}
}

// without returns env without the variables of some names.
func without(env []string, names ...string) []string {
	return slices.DeleteFunc(env, func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains(names, name)
	})
}
