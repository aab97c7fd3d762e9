package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/badnet/netlog"

	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"
)

// networkLog reads a log of network run.
func networkLog(t *testing.T, path string) *netlog.Recorded {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := netlog.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// public returns the path of a file that every user can write.
func public(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// The log has the packets of the command, and only those, with their delays.
func TestNetworkRunLog(t *testing.T) {
	t.Parallel()
	needPackets(t, nil)
	users(t, func(t *testing.T, prefix []string) {
		path := public(t, "log")
		out, err := command(t, prefix, "network", "run", "--log="+path, "delay=50ms", "rate=1mbit", "--",
			"bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9").CombinedOutput()
		if !strings.Contains(string(out), " by tun: ") {
			t.Fatalf("%v: %s", err, out)
		}
		r := networkLog(t, path)
		var up, down netlog.Way
		for _, b := range r.Buckets {
			for sum, w := range map[*netlog.Way]netlog.Way{&up: b.Up, &down: b.Down} {
				sum.SentPackets, sum.Packets = sum.SentPackets+w.SentPackets, sum.Packets+w.Packets
				if w.DelayP50 != nil {
					sum.DelayP50 = w.DelayP50
				}
				if w.Rate == nil || *w.Rate != 1e6 {
					t.Errorf("the rate is %v", w.Rate)
				}
			}
		}
		// A port where nobody listens: a SYN up and an RST down, both again on a slow machine. A calibration has hundreds.
		for what, w := range map[string]netlog.Way{"up": up, "down": down} {
			if w.SentPackets < 1 || w.Packets < 1 || w.SentPackets > 40 || w.DelayP50 == nil || *w.DelayP50 < 50 {
				t.Errorf("%s: %s", what, describeWay(w))
			}
		}
		if r.Profile != "delay=50ms rate=1mbit" || r.Driver != "tun" {
			t.Errorf("%+v", r.Header)
		}
	})
}

func describeWay(w netlog.Way) string {
	delay := "none"
	if w.DelayP50 != nil {
		delay = rounded(w.DelayP50)
	}
	return strings.Join([]string{"sent", rounded(ptr(float64(w.SentPackets))), "delivered", rounded(ptr(float64(w.Packets))), "delay", delay}, " ")
}

func ptr[T any](v T) *T { return &v }

// The log is complete after Ctrl-C too.
func TestNetworkRunLogInterrupted(t *testing.T) {
	t.Parallel()
	needPackets(t, nil)
	path := public(t, "log")
	cmd := command(t, nil, "network", "run", "--log="+path, "none", "--", "sh", "-c", `trap 'exit 9' INT; echo ready >`+path+`.ready; while :; do sleep 0.05; done`)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the command runs", func() bool { _, err := os.Stat(path + ".ready"); return err == nil })
	eventually(t, "the log is written while the command runs", func() bool {
		text, _ := os.ReadFile(path)
		return strings.Count(string(text), "\n") > 2
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 9 {
		t.Errorf("%s", cmd.ProcessState)
	}
	text, err := os.ReadFile(path)
	if r := networkLog(t, path); err != nil || len(r.Buckets) != strings.Count(string(text), "\n")-1 || !strings.HasSuffix(string(text), "\n") {
		t.Errorf("%d buckets, %v", len(r.Buckets), err)
	}
}

// What can't be written or watched is refused before the command starts.
func TestNetworkRunLogRefused(t *testing.T) {
	t.Parallel()
	needPackets(t, nil)
	for _, test := range []struct{ args, want string }{
		{"--log=/nowhere/log", "--log /nowhere/log can't be written: no such file or directory"},
		{"--log=/tmp --driver=tun", "--log /tmp can't be written: is a directory"},
		{"--pcap=/nowhere/pcap", "--pcap /nowhere/pcap can't be written: no such file or directory"},
		{"--pcap=/tmp/pcap --driver=netem", "--pcap needs the driver tun, whose shaper sees each packet: write --driver=tun, or leave --driver out"},
		{"--pcap=/tmp/x --log=/tmp/x", "--log and --pcap are both /tmp/x: give each a file of its own"},
		{"--log=/tmp/log --driver=netem", "--log needs the driver tun, whose shaper sees each packet: write --driver=tun, or leave --driver out"},
	} {
		args := append(append([]string{"network", "run"}, strings.Fields(test.args)...), "3g", "--", "echo", "started")
		cmd := command(t, nil, args...)
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != exitUsage || !strings.Contains(string(out), test.want) || strings.Contains(string(out), "started") {
			t.Errorf("%s: %s, %s", test.args, cmd.ProcessState, out)
		}
	}
}

// The meter is a line on a terminal, gone when the summary comes. Elsewhere there is a sentence.
func TestNetworkRunMeter(t *testing.T) {
	t.Parallel()
	needPackets(t, nil)
	out, err := command(t, nil, "network", "run", "--meter", "delay=1ms", "--", "true").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "gotimeout: there is no meter, since stderr is no terminal\n") || strings.Contains(string(out), "\x1b") {
		t.Errorf("%v: %q", err, out)
	}
	terminal, other := pty(t)
	cmd := command(t, nil, "network", "run", "--meter", "delay=1ms", "--", "sh", "-c", "read go")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = other
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	other.Close()
	var shown strings.Builder
	for chunk := make([]byte, 1<<12); ; {
		n, err := terminal.Read(chunk)
		if err != nil { // the other end is closed
			break
		}
		if shown.Write(chunk[:n]); strings.Count(shown.String(), "dropped 0 | down ") >= 2 {
			stdin.Close()
		}
	}
	_ = cmd.Wait()
	last := shown.String()[strings.LastIndex(shown.String(), "\x1b[K"):]
	if !strings.HasPrefix(last, "\x1b[Kgotimeout: delay=1ms by tun: ") {
		t.Errorf("the terminal shows %q", &shown)
	}
}

// pty returns a terminal and its other end.
func pty(t *testing.T) (terminal, other *os.File) {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { terminal.Close() })
	fd := int(terminal.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		other, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Skip(err)
	}
	return terminal, other
}

// A capture has the packets of the command before and after the shaper, at their real times.
func TestNetworkRunPcap(t *testing.T) {
	t.Parallel()
	needPackets(t, nil)
	users(t, func(t *testing.T, prefix []string) {
		path := public(t, "pcapng")
		began := time.Now()
		out, err := command(t, prefix, "network", "run", "--pcap="+path, "delay=50ms", "--", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9").CombinedOutput()
		if !strings.Contains(string(out), " by tun: ") {
			t.Fatalf("%v: %s", err, out)
		}
		first := firstPackets(t, path)
		for name, at := range first {
			if at.Before(began) || at.After(time.Now()) {
				t.Errorf("the first packet %s the shaper is of %s", name, at)
			}
		}
		// A SYN up and an RST down.
		for _, way := range []string{"up", "down"} {
			before, after := first[way+" before"], first[way+" after"]
			if before.IsZero() || after.Sub(before) < 50*time.Millisecond {
				t.Errorf("%s: the first packet before the shaper is of %s, and after it of %s", way, before, after)
			}
		}
		for _, reader := range []string{"tcpdump", "tshark"} {
			if _, err := exec.LookPath(reader); err != nil {
				continue
			}
			cmd := exec.CommandContext(t.Context(), reader, "-n", "-r", "-") // AppArmor may keep it from files
			if cmd.Stdin, err = os.Open(path); err != nil {
				t.Fatal(err)
			}
			out, err := cmd.CombinedOutput()
			_ = cmd.Stdin.(*os.File).Close()
			if syn := regexp.MustCompile(`127\.0\.0\.1.*(Flags \[S\]|\[SYN\])`).FindAllString(string(out), -1); err != nil || len(syn) < 2 {
				t.Errorf("%s: %v, %s", reader, err, out)
			}
		}
	})
}

// firstPackets returns the time of the first packet on each interface of a capture.
func firstPackets(t *testing.T, path string) map[string]time.Time {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := pcapgo.NewNgReader(file, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	first := map[string]time.Time{}
	for {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return first
		}
		if err != nil {
			t.Fatal(err)
		}
		in, err := r.Interface(info.InterfaceIndex)
		if err != nil || len(data) < 14+20 || data[14]>>4 != 4 {
			t.Errorf("%s has a packet % x, %v", in.Name, data, err)
		}
		if first[in.Name].IsZero() {
			first[in.Name] = info.Timestamp
		}
	}
}
