package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"gotimeout/internal/wire"
)

const (
	manyFiles    = 20000
	faultRate    = 500              // requests a second
	faultTime    = 30 * time.Second // of load for each fault
	faultBegins  = 8 * time.Second  // after the load
	faultLasts   = 5 * time.Second
	faultTimeout = 500 * time.Millisecond // of each run
	faultDelay   = 20 * time.Millisecond  // of its op
	faultLatest  = faultTimeout + time.Second
	faultSettles = 2 * time.Second // after the fault, until the pools are clean and /readyz is right
)

// fault happens to a lab or to its backends while it is under load.
type fault struct {
	name  string
	real  string // the server that it happens to, "all" for none of them alone; "" is a lab of stand-ins
	files int    // how many the lab may have open; 0 is many
	queue bool   // some of the runs are offloaded
	disk  bool   // the queue is on a small disk
	ends  bool   // the lab ends
	down  bool   // a backend can't be reached, or the queue can't store, meanwhile
	net   bool   // it is a fault of the network between the lab and its backends

	begin, end func(context.Context, *scenery) error // nil is nothing to do
}

// scenery is where a fault happens.
type scenery struct {
	lab  *server
	of   *process // the real server that the fault happens to, nil for none
	urls []string // of the load
	dir  string   // of the lab's queue
	disk func()   // removes the directory

	killed bool // the lab
}

func (s *scenery) end() error {
	defer s.disk()
	err := s.lab.stop()
	if s.killed && errors.As(err, new(*exec.ExitError)) {
		return nil
	}
	return err
}

func faultsOfLab() (all []fault) {
	all = []fault{
		{name: "none"},
		{name: "a black hole to all backends", net: true, down: true, begin: onNetwork("blackhole"), end: onNetwork("none")},
		{name: "50% of the packets lost", net: true, begin: onNetwork("loss=50%"), end: onNetwork("none")},
		{name: "64 files open at most", files: 64},
		{name: "a full disk", queue: true, disk: true, down: true, begin: fillDisk, end: func(_ context.Context, s *scenery) error { return os.Remove(s.filler()) }},
		{name: "SIGTERM", ends: true, begin: func(_ context.Context, s *scenery) error { return s.lab.cmd.Process.Signal(syscall.SIGTERM) }},
		{name: "kill -9 of the inside of its network", net: true, ends: true, begin: killInside},
		{name: "kill -9 of the outside of its network", net: true, ends: true, begin: killOutside},
		{name: "none", real: "all"},
		{name: "a black hole to all backends", real: "all", net: true, down: true, begin: onNetwork("blackhole"), end: onNetwork("none")},
		{name: "50% of the packets lost", real: "all", net: true, begin: onNetwork("loss=50%"), end: onNetwork("none")},
	}
	kill := fault{
		down:  true,
		begin: func(_ context.Context, s *scenery) error { return s.of.signal(syscall.SIGKILL) },
		end:   func(ctx context.Context, s *scenery) error { return s.of.restart(ctx) },
	}
	for _, name := range []string{"httpbin", "memcached", "mariadb", "postgres", "redis"} {
		kill.name, kill.real = "kill -9 of "+name+", and a restart", name
		all = append(all, kill,
			fault{name: "SIGSTOP of " + name, real: name, down: name != "postgres", // whose sessions are processes of their own
				begin: func(_ context.Context, s *scenery) error { return s.of.signal(syscall.SIGSTOP) },
				end:   func(_ context.Context, s *scenery) error { return s.of.signal(syscall.SIGCONT) }})
	}
	kill.name, kill.real, kill.queue = "kill -9 of the queue's server, and a restart", "nats", true
	return append(all, kill)
}

// killInside kills the process of a lab that is inside its private network.
func killInside(_ context.Context, s *scenery) error {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.lab.cmd.Process.Pid))
	if err != nil {
		return err
	}
	for _, of := range threads {
		children, err := os.ReadFile(of)
		if err != nil {
			return err
		}
		var inside int
		if n, _ := fmt.Sscan(string(children), &inside); n == 1 {
			s.killed = true
			return syscall.Kill(inside, syscall.SIGKILL)
		}
	}
	return fmt.Errorf("%w: the lab has no process inside", errNoNetwork)
}

// killOutside kills the process of a lab that has the network of the machine.
func killOutside(_ context.Context, s *scenery) error {
	s.killed = true
	return s.lab.cmd.Process.Kill()
}

// filler is the file that fills the disk of the queue.
func (s *scenery) filler() string { return filepath.Join(s.dir, "filler") }

// fillDisk fills the disk of the queue. The first writes may use what is left of the last page.
func fillDisk(_ context.Context, s *scenery) error {
	f, err := os.Create(s.filler())
	if err != nil {
		return err
	}
	defer f.Close()
	for some := make([]byte, 4<<10); err == nil; {
		_, err = f.Write(some)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return nil
}

// onNetwork returns a func that changes the network to the backends.
func onNetwork(profile string) func(context.Context, *scenery) error {
	return func(ctx context.Context, s *scenery) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, s.lab.url+"/network", strings.NewReader(profile))
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		if strings.Contains(string(text), "driver_cannot") {
			return fmt.Errorf("%w: %s", errNoNetwork, profile)
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("PUT /network %s: %s: %s", profile, resp.Status, text)
		}
		return nil
	}
}

// errNoNetwork says that no driver of this machine can do what a fault needs.
var errNoNetwork = errors.New("no network of this machine can do that")

// faults prints what becomes of the requests of a load during each fault.
func faults(ctx context.Context, b built) error {
	real, stop, err := b.realServers(ctx)
	defer stop()
	if err != nil {
		return err
	}
	fmt.Printf("%d requests a second for %s, of all ops, by %s in turns, where these bound the op, with a timeout of %s; the fault after %s, for %s where it ends. An outcome is an answer or a closed connection:\n\n",
		faultRate, faultTime, strings.Join(faultStrategies, ", "), faultTimeout, faultBegins, faultLasts)
	header("the fault", "backends", "requests", "completed", "timed out", "failed", "refused", "closed", "no outcome within 1.5 s", "bar", "without receipt", "bar", "failed later than 2 s after the fault", "bar", "left behind", "bar", "`/readyz` meanwhile, after", "")
	lost := 0
	for _, f := range faultsOfLab() {
		n, err := b.faulted(ctx, f, real)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		lost += n
	}
	fmt.Printf("\nLost, of all: %d.\n", lost)
	return nil
}

var faultStrategies = []string{"context-cancel", "goroutine-abandon", "errgroup", "io-timeout"}

// faulted prints the row of a fault, and returns how many requests had no outcome or no receipt.
func (b built) faulted(ctx context.Context, f fault, real map[string]*process) (lost int, err error) {
	at, err := b.scenery(ctx, f, real)
	if err != nil {
		return 0, err
	}
	if lost, err = f.print(ctx, at); err != nil {
		_ = at.end()
		return 0, err
	}
	return lost, at.end()
}

// scenery starts the lab of a fault.
func (b built) scenery(ctx context.Context, f fault, real map[string]*process) (*scenery, error) {
	ops, args := []string{"http", "cache", "db", "postgres", "redis", "grpc"}, []string{"env"}
	if f.real != "" {
		ops = ops[:5]
		for name, p := range real {
			if name != "nats" || f.queue {
				args = append(args, p.setting)
			}
		}
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	at := &scenery{of: real[f.real], dir: dir, disk: func() { os.RemoveAll(dir) }}
	args = append(args, b.path("gotimeout"), "serve", "--addr=127.0.0.1:0", "--max-delay=1s", "--max-timeout=1s", "--receipts=100000", "--log-slow=0")
	if f.real != "nats" {
		args = append(args, "--data="+dir)
	}
	if f.net {
		args = append(args, "--network=none")
	}
	if f.queue {
		ops = append(ops, "")
	}
	if f.disk {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
			at.disk()
			return nil, fmt.Errorf("%w: %w; run it as root", errNoDisk, err)
		}
		remove := at.disk
		at.disk = func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH); remove() }
	}
	if at.lab, err = startLimited(ctx, cmp.Or(f.files, manyFiles), args[0], args[1:]...); err != nil {
		at.disk()
		return nil, err
	}
	at.urls = at.urlsOf(ops, f.real != "")
	return at, nil
}

// errNoDisk says that there can be no small disk.
var errNoDisk = errors.New("a small disk can't be mounted")

// urlsOf are those of each op under each strategy. The op "" is that of a job for the queue.
func (s *scenery) urlsOf(ops []string, real bool) (all []string) {
	for _, strategy := range faultStrategies {
		for _, op := range ops {
			q := url.Values{"op": {op}, "timeout": {faultTimeout.String()}, "delay": {faultDelay.String()}}
			switch {
			case op == "":
				q.Set("op", "http")
				all = append(all, s.lab.url+"/offload?"+q.Encode())
				continue
			case op == "cache" && real:
				q.Del("delay") // memcached has no slow command
			case op == "redis":
				q.Set("deadline", "on") // else a context does not bound go-redis's reads
			}
			if op == "postgres" && strategy == "io-timeout" || op == "redis" && strategy == "errgroup" {
				continue // pgx has no such timeout, and go-redis ignores a cancel: neither bounds its calls
			}
			all = append(all, s.lab.url+"/"+strategy+"?"+q.Encode())
		}
	}
	return all
}

// ready is an answer of /readyz.
type ready struct {
	asked, answered time.Time
	is              bool
}

func (f fault) print(ctx context.Context, at *scenery) (lost int, err error) {
	loading, cancel := context.WithTimeout(ctx, faultTime)
	defer cancel()
	var o *outcomes
	var seen []ready
	var beside sync.WaitGroup
	began := time.Now()
	beside.Go(func() { o = steady(loading, []*http.Client{clientAt(nil)}, faultRate, at.urls...) })
	beside.Go(func() { seen = at.readiness(loading) })
	wait(loading, faultBegins)
	if f.begin != nil {
		err = f.begin(ctx, at)
	}
	wait(loading, faultLasts)
	over := time.Now() // a server that comes back may be reached before its restart returns
	if f.end != nil && err == nil {
		err = f.end(ctx, at)
	}
	ended := time.Now()
	beside.Wait()
	if err != nil {
		return 0, err
	}
	var missing, left, failedLater int
	meanwhile, after := readyIn(seen, began.Add(faultBegins+time.Second), over), readyIn(seen, ended.Add(faultSettles), ended.Add(faultTime))
	truth := !f.down || meanwhile == "no"
	if !f.ends {
		wait(ctx, faultSettles)
		if missing, left, err = at.unrecorded(o); err != nil {
			return 0, err
		}
		truth = truth && after == "yes"
	}
	late := 0
	for _, one := range o.all {
		if one.took > faultLatest || one.status == none {
			late++
		}
		if f.files == 0 && !f.ends && one.status != http.StatusOK && one.status != http.StatusAccepted && one.sent.After(ended.Add(faultSettles)) {
			failedLater++
		}
	}
	good := late == 0 && missing == 0 && left == 0 && failedLater == 0 && truth
	backends := "stand-ins"
	if f.real != "" {
		backends = "real servers"
	}
	row(f.name, backends, fmt.Sprint(len(o.all)), fmt.Sprint(o.of(http.StatusOK, http.StatusAccepted)), fmt.Sprint(o.of(http.StatusGatewayTimeout)), fmt.Sprint(o.of(http.StatusBadGateway)),
		fmt.Sprint(o.of(http.StatusServiceUnavailable)), fmt.Sprint(o.of(closed)), fmt.Sprint(late), "0", fmt.Sprint(missing), "0", fmt.Sprint(failedLater), "0", fmt.Sprint(left), "0", meanwhile+", "+after, verdict(good))
	return late + missing, nil
}

// readiness asks /readyz again and again until ctx is done.
func (s *scenery) readiness(ctx context.Context) (seen []ready) {
	for ctx.Err() == nil {
		asked := time.Now()
		if resp, err := http.Get(s.lab.url + "/readyz"); err == nil {
			resp.Body.Close()
			seen = append(seen, ready{asked, time.Now(), resp.StatusCode == http.StatusOK})
		}
		wait(ctx, 200*time.Millisecond)
	}
	return seen
}

// readyIn says what all of /readyz's answers were that were asked for and given in a time.
func readyIn(seen []ready, from, to time.Time) string {
	text := ""
	for _, r := range seen {
		if r.asked.Before(from) || r.answered.After(to) {
			continue
		}
		is := map[bool]string{true: "yes", false: "no"}[r.is]
		if text != "" && text != is {
			return "both"
		}
		text = is
	}
	return text
}

// unrecorded returns how many answers of runs have no receipt, and how many receipts are not complete.
func (s *scenery) unrecorded(o *outcomes) (missing, left int, err error) {
	resp, err := http.Get(s.lab.url + "/receipts?limit=100000")
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	var all wire.Receipts
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		return 0, 0, fmt.Errorf("GET /receipts: %w", err)
	}
	kept := map[string]bool{}
	for _, v := range all.Receipts {
		kept[v.ID] = true
		if !v.Complete {
			left++
		}
	}
	for _, one := range o.all {
		if one.status > closed && one.status != http.StatusServiceUnavailable && !kept[one.receipt] {
			missing++
		}
	}
	return missing, left, nil
}

// process is a real server, which can be killed and started again.
type process struct {
	pid     int
	addr    string    // host:port
	setting string    // the variable of the environment that names it to a lab
	cmd     *exec.Cmd // starts it again
}

var hostPort = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// realServers starts the servers of scripts/servers, an httpbin, and a server of the queue.
func (b built) realServers(ctx context.Context) (all map[string]*process, stop func(), err error) {
	all = map[string]*process{}
	scripts := func(command string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, "scripts/servers", command)
		cmd.Env, cmd.Stderr = append(os.Environ(), "XDG_RUNTIME_DIR="+string(b)), os.Stderr
		return cmd.Output()
	}
	stop = func() {
		for _, p := range all {
			_ = p.signal(syscall.SIGKILL)
		}
		_, _ = scripts("stop")
	}
	out, err := scripts("start")
	if err != nil {
		return all, stop, fmt.Errorf("scripts/servers start: %w", err)
	}
	state, err := os.ReadFile(filepath.Join(string(b), fmt.Sprintf("gotimeout-servers.%d", os.Geteuid())))
	if err != nil {
		return all, stop, err
	}
	folder := strings.TrimSpace(string(state))
	for name, variable := range map[string]string{"memcached": "MEMCACHED_ADDR", "mariadb": "MYSQL_DSN", "postgres": "POSTGRES_URL", "redis": "REDIS_URL"} {
		setting := regexp.MustCompile(`export (` + variable + `=)'?([^'\n]*)`).FindStringSubmatch(string(out))
		var pid int
		text, err := os.ReadFile(filepath.Join(folder, name+".pid"))
		if err == nil {
			_, err = fmt.Sscan(string(text), &pid)
		}
		if err != nil || setting == nil {
			return all, stop, fmt.Errorf("%s is not among the servers: %w", name, err)
		}
		if all[name], err = processOf(pid, setting[1]+setting[2]); err != nil {
			return all, stop, err
		}
	}
	for name, args := range map[string][]string{"httpbin": {"HTTPBIN_URL=http://"}, "nats": {"NATS_URL=nats://", filepath.Join(string(b), "nats")}} {
		at, err := startServer(ctx, os.Args[0], append([]string{"as", name, freePort}, args[1:]...)...)
		if err != nil {
			return all, stop, err
		}
		addr := strings.TrimPrefix(at.url, "http://")
		if all[name], err = processOf(at.cmd.Process.Pid, args[0]+addr); err != nil {
			return all, stop, err
		}
		all[name].cmd.Args[3] = addr // again at this one
		go func() { _ = at.cmd.Wait() }()
	}
	return all, stop, nil
}

// processOf notes how a process was started.
func processOf(pid int, setting string) (*process, error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	line, err := os.ReadFile(dir + "cmdline")
	if err != nil {
		return nil, err
	}
	path, err := os.Readlink(dir + "exe")
	if err != nil {
		return nil, err
	}
	cwd, err := os.Readlink(dir + "cwd")
	if err != nil {
		return nil, err
	}
	owner, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	of := owner.Sys().(*syscall.Stat_t)
	p := &process{pid: pid, addr: hostPort.FindString(setting), setting: setting}
	p.cmd = &exec.Cmd{
		Path: path, Args: strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00"), Dir: cwd,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: of.Uid, Gid: of.Gid}},
	}
	return p, nil
}

// signal signals the process, and those of its group where it leads one.
func (p *process) signal(s syscall.Signal) error {
	if group, err := syscall.Getpgid(p.pid); err == nil && group == p.pid {
		return syscall.Kill(-p.pid, s)
	}
	return syscall.Kill(p.pid, s)
}

// restart starts the process as it was started, and returns when it takes connections.
func (p *process) restart(ctx context.Context) error {
	var ended chan struct{}
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); wait(ctx, 50*time.Millisecond) {
		if ended == nil {
			again := *p.cmd
			if err := again.Start(); err != nil {
				return err
			}
			p.pid, ended = again.Process.Pid, make(chan struct{})
			go func(ended chan struct{}) { _ = again.Wait(); close(ended) }(ended)
		}
		select {
		case <-ended: // a file of the killed one may still be locked
			ended = nil
			continue
		default:
		}
		if c, err := net.Dial("tcp", p.addr); err == nil {
			return c.Close()
		}
	}
	return fmt.Errorf("%s takes no connections at %s", p.cmd.Path, p.addr)
}
