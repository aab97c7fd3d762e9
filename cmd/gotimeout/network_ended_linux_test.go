package main

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const deleted = "the tun driver: its device bad0 was deleted"

// deleteTUN takes the device from the private network that a process has made.
func deleteTUN(t *testing.T, pid int) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("another process's network is root's to change")
	}
	var inside *netlink.Handle
	var tun netlink.Link
	eventually(t, "the process has a network with a TUN", func() bool {
		for _, child := range children(pid) {
			at, err := netns.GetFromPath("/proc/" + child + "/ns/net")
			if err != nil {
				continue
			}
			inside, err = netlink.NewHandleAt(at, unix.NETLINK_ROUTE)
			at.Close()
			if err != nil {
				continue
			}
			if tun, err = inside.LinkByName("bad0"); err == nil {
				return true
			}
			inside.Close()
		}
		return false
	})
	defer inside.Close()
	if err := inside.LinkDel(tun); err != nil {
		t.Fatal(err)
	}
}

// runOnNetwork starts a command on a private network, and returns when it runs and has missed a way outside.
func runOnNetwork(t *testing.T, flags ...string) (cmd *exec.Cmd, stderr *strings.Builder) {
	t.Helper()
	args := append([]string{"network", "run", "none"}, flags...)
	cmd, stderr = command(t, nil, append(args, "--", "sh", "-c", "curl -s http://"+host+"; echo runs; exec sleep 100")...), new(strings.Builder)
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "runs\n" {
		t.Fatal(line, err)
	}
	return cmd, stderr
}

// A command does not go on without its network.
func TestNetworkRunWithoutItsNetwork(t *testing.T) {
	t.Parallel()
	needPackets(t, nil)
	cmd, stderr := runOnNetwork(t, "--driver=tun")
	deleteTUN(t, cmd.Process.Pid)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitNoNetwork || !strings.HasPrefix(stderr.String(), "gotimeout: the bad network has ended, and with it the command: "+deleted+"\n") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// A command that ends with its network's process is not taken for one that was killed.
func TestNetworkRunWithoutItsProcess(t *testing.T) {
	t.Parallel()
	needPackets(t, nil)
	cmd, stderr := runOnNetwork(t)
	for _, child := range children(cmd.Process.Pid) {
		pid, _ := strconv.Atoi(child)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	_ = cmd.Wait()
	const want = "gotimeout: the private network has ended, and with it the command: its process was ended by signal 9 (killed)\n"
	if code := cmd.ProcessState.ExitCode(); code != exitNoNetwork || stderr.String() != want {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	own := command(t, nil, "network", "run", "none", "--", "sh", "-c", "kill -9 $$")
	if out, _ := own.CombinedOutput(); own.ProcessState.ExitCode() != 128+9 || strings.Contains(string(out), "has ended") {
		t.Errorf("a command that kills itself: exit code %d, %s", own.ProcessState.ExitCode(), out)
	}
}

// A lab that has lost its network says so in each answer, and is not ready.
func TestServeWithoutItsNetwork(t *testing.T) {
	t.Parallel()
	needPackets(t, nil)
	p, lab := labProcess(t, nil, "--network=none", "--network-driver=tun")
	deleteTUN(t, lab.Process.Pid)
	// The kernel refuses packets a moment before the lab knows why.
	eventually(t, "the lab is not ready, for its network", func() bool {
		type backend struct{ Error string }
		var health struct{ Backends []backend }
		status := p.get(t, "/readyz", &health)
		return status == http.StatusServiceUnavailable && !slices.ContainsFunc(health.Backends, func(b backend) bool { return b.Error != deleted })
	})
	_, v := p.complete(t, "/context-cancel?op=http&timeout=100ms&delay=0")
	if path, _ := v.Network.(map[string]any); path["ended"] != deleted {
		t.Errorf("the receipt has the network %v", v.Network)
	}
}
