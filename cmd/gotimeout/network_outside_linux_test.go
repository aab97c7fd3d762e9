package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
)

// needCurl skips a test where there is no curl.
func needCurl(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip(err)
	}
}

// curlRefused is the exit status of a curl that could not connect.
const curlRefused = 7

// curl prints the body of the answer and the seconds until it came.
func curl(url string) []string {
	return []string{"curl", "-sS", "-w", " %{time_total}", url}
}

// A port of --reach is the server outside, over the bad loopback, and no other port is.
func TestNetworkReach(t *testing.T) {
	needCurl(t)
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Log(err) // a machine without ::1
			continue
		}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
		server.Listener.Close()
		server.Listener = l
		server.Start()
		defer server.Close()
		other := httptest.NewServer(http.NotFoundHandler())
		defer other.Close()
		users(t, func(t *testing.T, prefix []string) {
			reach := "--reach=" + l.Addr().String()
			cmd := command(t, prefix, append([]string{"network", "run", reach, "delay=50ms", "--"}, curl(server.URL)...)...)
			out, err := cmd.Output()
			body, took, _ := strings.Cut(string(out), " ")
			// The dial takes a round trip, and the answer another.
			if seconds, _ := strconv.ParseFloat(took, 64); body != "hello" || seconds < 0.2 || err != nil {
				t.Errorf("%s: %q, %v", addr, out, err)
			}
			cmd = command(t, prefix, append([]string{"network", "run", reach, "none", "--"}, curl(other.URL)...)...)
			if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != curlRefused {
				t.Errorf("another port than %s: %s, %s", addr, cmd.ProcessState, out)
			}
		})
	}
}

// A network inside a network: a round trip to a server on the outer loopback takes both.
func TestNetworkNested(t *testing.T) {
	needCurl(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer server.Close()
	users(t, func(t *testing.T, prefix []string) {
		reach := "--reach=" + server.Listener.Addr().String()
		inner := append([]string{"env", asProgram + "=1", binary(t), "network", "run", reach, "delay=30ms", "--"}, curl(server.URL)...)
		out, err := command(t, prefix, append([]string{"network", "run", reach, "delay=20ms", "--"}, inner...)...).Output()
		body, took, _ := strings.Cut(string(out), " ")
		if seconds, _ := strconv.ParseFloat(took, 64); body != "hello" || seconds < 0.2 || err != nil {
			t.Errorf("%q, %v", out, err)
		}
	})
}

// host and host6 are addresses outside, for documentation (RFC 5737, RFC 3849).
const (
	host  = "192.0.2.1"
	host6 = "2001:db8::1"
)

// outsideHost puts this test into a network of its own, where host and host6 answer pings, say
// hello by HTTP at the returned port and echo datagrams at the same. Port 1 refuses.
func outsideHost(t *testing.T) (port string) {
	t.Helper()
	emptyNetwork(t)
	lo, err := netlink.LinkByName("lo")
	for _, addr := range []string{host + "/32", host6 + "/128"} {
		if err == nil {
			var ip *netlink.Addr
			if ip, err = netlink.ParseAddr(addr); err == nil {
				ip.Flags = syscall.IFA_F_NODAD // it is there at once
				err = netlink.AddrAdd(lo, ip)
			}
		}
	}
	if err == nil { // each user may ping
		err = os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 2147483647"), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", ":0") // of both families
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	_, port, _ = net.SplitHostPort(l.Addr().String())
	for _, addr := range []string{host, host6} {
		echo, err := net.ListenPacket("udp", net.JoinHostPort(addr, port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { echo.Close() })
		go echoDatagrams(echo)
	}
	return port
}

func echoDatagrams(conn net.PacketConn) {
	b := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = conn.WriteTo(b[:n], from)
	}
}

// Everything that leaves goes over the bad network, and nothing leaves without --outside.
// The command of the docs has another host:
//
//	gotimeout network run --outside 3g -- curl https://example.com
func TestNetworkOutside(t *testing.T) {
	t.Parallel()
	needCurl(t)
	users(t, func(t *testing.T, prefix []string) {
		port := outsideHost(t)
		for _, host := range []string{host, host6} {
			outsideOf(t, prefix, host, port) // not in a subtest, whose thread would have another network
		}
	})
}

// unrouted are hosts that the machine has no route to.
var unrouted = map[string]string{host: "http://203.0.113.1", host6: "http://[2001:db8:1::1]"}

func outsideOf(t *testing.T, prefix []string, host, port string) {
	t.Helper()
	run := func(words ...string) (out string, code int) {
		cmd := command(t, prefix, append([]string{"network", "run"}, words...)...)
		b, _ := cmd.CombinedOutput()
		return string(b), cmd.ProcessState.ExitCode()
	}
	url := "http://" + net.JoinHostPort(host, port)
	// The dial takes a round trip, and the answer another.
	slow := func(what, out string, code int) {
		body, took, _ := strings.Cut(out, " ")
		took, _, _ = strings.Cut(took, "gotimeout:")
		if seconds, _ := strconv.ParseFloat(took, 64); !strings.HasPrefix(body, "hello") || seconds < 0.2 || code != 0 {
			t.Errorf("%s: %d, %s", what, code, out)
		}
	}
	out, code := run(append([]string{"--outside", "delay=50ms", "--"}, curl(url)...)...)
	slow("curl", out, code)
	inner := append([]string{"env", asProgram + "=1", binary(t), "network", "run", "--outside", "delay=30ms", "--"}, curl(url)...)
	out, code = run(append([]string{"--outside", "delay=20ms", "--"}, inner...)...)
	slow("one network in another", out, code)

	out, code = run(append([]string{"--outside", "none", "--"}, curl("http://"+net.JoinHostPort(host, "1"))...)...)
	if code != curlRefused || !strings.Contains(out, "refused") && !strings.Contains(out, "Couldn't connect") {
		t.Errorf("a port that refuses: %d, %s", code, out)
	}
	out, code = run(append([]string{"--outside", "none", "--"}, curl(unrouted[host])...)...)
	if code != curlRefused || strings.Contains(out, "had no way out") {
		t.Errorf("a host that the machine can't reach: %d, %s", code, out)
	}
	out, code = run(append([]string{"none", "--"}, curl(url)...)...)
	if code != curlRefused || !strings.Contains(out, "gotimeout: 1 try to connect outside had no way out: give --outside\n") {
		t.Errorf("without --outside: %d, %s", code, out)
	}
	out, code = run("--outside", "delay=50ms", "--", "bash", "-c", `exec 3<>"/dev/udp/$0/$1"; echo datagram >&3; timeout 30 head -n 1 <&3; exit 3`, host, port)
	if code != 3 || !strings.HasPrefix(out, "datagram\n") {
		t.Errorf("a datagram: %d, %s", code, out)
	}
	if _, err := exec.LookPath("ping"); err != nil {
		t.Log(err)
		return
	}
	out, code = run("--outside", "delay=50ms", "--", "ping", "-c1", "-W30", host)
	_, took, _ := strings.Cut(out, "time=")
	took, _, _ = strings.Cut(took, " ")
	if ms, _ := strconv.ParseFloat(took, 64); ms < 100 || code != 0 {
		t.Errorf("ping: %d, %s", code, out)
	}
}

// The nameservers on the machine's loopback are reached there; the others are reached as
// any host is.
func TestAddNames(t *testing.T) {
	reach := addNames(reachable{netip.MustParseAddrPort("127.0.0.1:53")}, `# made by hand
nameserver 127.0.0.53
nameserver 127.0.0.1
nameserver 10.0.0.1
nameserver ::1
nameserver
search nameserver 127.0.0.2
options edns0`)
	if got := fmt.Sprint(reach); got != "[127.0.0.1:53 127.0.0.53:53]" {
		t.Error(got)
	}
}
