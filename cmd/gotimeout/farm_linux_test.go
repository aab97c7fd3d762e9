package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/badnet/private"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/vishvananda/netlink"
)

// The variables that make of a test binary the network of the farm, and one of its nodes.
const (
	asFarm     = "GOTIMEOUT_TEST_AS_FARM"
	asFarmNode = "GOTIMEOUT_TEST_AS_FARM_NODE"
)

const (
	farmNodes  = 3
	farmServer = "10.77.0.1" // where the test and the jobs' server are
)

func farmAddr(node int) string { return fmt.Sprintf("10.77.0.%d", 10+node) }

// farmURLs returns the NATS servers, or their routes among each other.
func farmURLs(port int) string {
	var all []string
	for node := range farmNodes {
		all = append(all, fmt.Sprintf("nats://%s:%d", farmAddr(node), port))
	}
	return strings.Join(all, ",")
}

// A lab, a worker and a NATS server on each of three network namespaces, 500 jobs a second, and one of the
// three is killed in the middle. No accepted job is lost, none is made twice at once, and each receipt is complete.
func TestFarm(t *testing.T) {
	slow(t)
	if os.Getenv(asFarm) == "" {
		inNamespace(t)
		return
	}
	server := farmBackend(t)
	defer server.close()
	const n, every = 1500, 2 * time.Millisecond
	nodes := make([]*exec.Cmd, farmNodes)
	for i := range nodes {
		nodes[i] = startNode(t, i)
		defer func() { _ = nodes[i].Process.Kill(); _ = nodes[i].Wait() }()
	}
	s := newSender()
	s.client.Timeout = time.Minute
	defer s.client.CloseIdleConnections()
	for i := range nodes {
		eventually(t, fmt.Sprint("node ", i, " takes jobs"), func() bool {
			resp, err := s.client.Get("http://" + farmAddr(i) + ":8000/offload?op=cpu&delay=0")
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			return resp.StatusCode == http.StatusAccepted
		})
	}
	var alive atomic.Value
	alive.Store([]string{"http://" + farmAddr(0) + ":8000", "http://" + farmAddr(1) + ":8000", "http://" + farmAddr(2) + ":8000"})
	done := make(chan bool)
	go func() {
		defer close(done)
		s.send(t.Context(), n, every, func() []string { return alive.Load().([]string) }, func(number int) string {
			return fmt.Sprintf("op=http&timeout=20s&delay=%dus", 20_000+number) // the delay tells the jobs apart
		})
	}()
	eventually(t, "half of the jobs are accepted", func() bool { return s.accepted() >= n/2 })
	_ = nodes[1].Process.Kill() // and with it what runs there, by Pdeathsig
	all := alive.Load().([]string)
	alive.Store([]string{all[0], all[2]})
	<-done // where the node that died led the stream, the others choose a leader first, which takes them some seconds
	again := s.checkEnds(t, all[0])
	t.Logf("%d of %d jobs were accepted at 500 a second, one node of three was killed: none is lost, %d were begun again, the other answers %v, p99 %s", len(s.jobs), n, again, s.other, s.p99())
	server.check(t, s.jobs)
	if len(s.jobs) != n {
		t.Errorf("%d of %d were accepted, the other answers: %v", len(s.jobs), n, s.other)
	}
}

// inNamespace runs this test in a network namespace of its own.
func inNamespace(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFarm$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), asFarm+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if cmd.Process == nil {
		t.Skipf("no network namespace can be had here: %v", err)
	}
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

// farmBackendOf is the server of the jobs, which knows each job by its delay.
type farmBackendOf struct {
	http *http.Server

	mu    sync.Mutex
	at    map[string]int // how often a job is made now
	made  map[string]int // how often it was made to its end
	twice []string
}

// farmBackend makes the bridge and starts the server of the jobs on it.
func farmBackend(t *testing.T) *farmBackendOf {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "farm"}}
	for _, step := range []func() error{
		func() error { return err },
		func() error { return netlink.LinkSetUp(lo) },
		func() error { return netlink.LinkAdd(bridge) },
		func() error { return setAddr(bridge, farmServer) },
	} {
		if err := step(); err != nil {
			t.Fatal(private.Refused(err))
		}
	}
	b := &farmBackendOf{at: map[string]int{}, made: map[string]int{}}
	b.http = &http.Server{Handler: b}
	l, err := net.Listen("tcp", farmServer+":9000")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = b.http.Serve(l) }()
	return b
}

func setAddr(link netlink.Link, addr string) error {
	a, err := netlink.ParseAddr(addr + "/24")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, a); err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

func (b *farmBackendOf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seconds, err := strconv.ParseFloat(strings.TrimPrefix(r.URL.Path, "/delay/"), 64)
	if err != nil {
		return // a look whether the server is ready
	}
	b.mu.Lock()
	if b.at[r.URL.Path]++; b.at[r.URL.Path] > 1 {
		b.twice = append(b.twice, r.URL.Path)
	}
	b.mu.Unlock()
	select {
	case <-time.After(time.Duration(seconds * float64(time.Second))):
	case <-r.Context().Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at[r.URL.Path]--
	if r.Context().Err() == nil {
		b.made[r.URL.Path]++
	}
}

// check checks that each job was made, and none twice at once.
func (b *farmBackendOf) check(t *testing.T, jobs map[string]int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, path := range b.twice {
		t.Errorf("%s was made twice at once", path)
	}
	for id, n := range jobs {
		if path := "/delay/" + strconv.FormatFloat((time.Duration(20_000+n)*time.Microsecond).Seconds(), 'f', -1, 64); b.made[path] == 0 {
			t.Errorf("the job %s has an end, and was never made", id)
		}
	}
}

func (b *farmBackendOf) close() { _ = b.http.Close() }

// startNode starts a node in a network namespace of its own, on the bridge.
func startNode(t *testing.T, node int) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", asFarmNode, node), "GOTIMEOUT_TEST_FARM_DIR="+t.TempDir())
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	bridge, err := netlink.LinkByName("farm")
	if err != nil {
		t.Fatal(err)
	}
	near := fmt.Sprint("node", node)
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: near, MasterIndex: bridge.Attrs().Index}, PeerName: "eth"}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{near, "eth"} {
		link, err := netlink.LinkByName(end)
		if err == nil && end == near {
			err = netlink.LinkSetUp(link)
		} else if err == nil {
			err = netlink.LinkSetNsPid(link, cmd.Process.Pid)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return cmd
}

// farmNode is a node: a NATS server in this process, and beside it a lab and a worker.
func farmNode() error {
	node, err := strconv.Atoi(os.Getenv(asFarmNode))
	if err != nil {
		return err
	}
	dir := os.Getenv("GOTIMEOUT_TEST_FARM_DIR")
	for _, name := range []string{asFarmNode, asFarm, "GOTIMEOUT_TEST_FARM_DIR"} {
		os.Unsetenv(name)
	}
	var eth netlink.Link
	for eth == nil { // the test gives it to this namespace
		if eth, err = netlink.LinkByName("eth"); err != nil {
			eth = nil
			<-time.After(10 * time.Millisecond)
		}
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	if err := setAddr(eth, farmAddr(node)); err != nil {
		return err
	}
	s, err := server.NewServer(&server.Options{
		ServerName: fmt.Sprint("n", node), Host: farmAddr(node), Port: 4222, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: filepath.Join(dir, "nats"),
		Cluster: server.ClusterOpts{Name: "farm", Host: farmAddr(node), Port: 6222}, Routes: server.RoutesFromStr(farmURLs(6222)),
	})
	if err != nil {
		return err
	}
	s.Start()
	common := []string{"--nats-url=" + farmURLs(4222), "--http-url=http://" + farmServer + ":9000"}
	for _, args := range [][]string{{"serve", "--addr=" + farmAddr(node) + ":8000"}, {"worker"}} {
		cmd := exec.CommandContext(context.Background(), os.Args[0], append(args, common...)...)
		cmd.Env = append(os.Environ(), asProgram+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return err
		}
	}
	select {} // until the test kills it
}
