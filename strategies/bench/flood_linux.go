package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// flood prints what a lab answers to five times what it can take, and what abuses cost it and its other clients.
func flood(ctx context.Context, b built) error {
	if err := b.floods(ctx); err != nil {
		return err
	}
	return b.abuses(ctx)
}

const (
	floodTimes  = 5
	floodTime   = 10 * time.Second
	floodAnswer = 250 * time.Millisecond // the timeout of a run
	floodWork   = time.Second            // the delay of its op
)

// floodedLab is a lab whose capacity one bound makes.
type floodedLab struct {
	bound, strategy string
	files           int // that the lab may have open
	args            []string
	capacity        func(inFlight, abandoned, descriptors int) float64 // runs a second
}

// ofStandIn is how many descriptors a call of a stand-in has at both of its ends.
const ofStandIn = 2

var floodedLabs = []floodedLab{
	{"in flight", "context-cancel", 20000, []string{"--max-in-flight=100"},
		func(inFlight, _, _ int) float64 { return float64(inFlight) / floodAnswer.Seconds() }},
	{"left behind", "goroutine-abandon", 20000, []string{"--max-in-flight=2048", "--max-abandoned=200"},
		func(_, abandoned, _ int) float64 { return float64(abandoned) / (floodWork - floodAnswer).Seconds() }},
	{"descriptors", "context-cancel", 256, nil,
		func(_, _, descriptors int) float64 { return float64(descriptors) / ofStandIn / floodAnswer.Seconds() }},
}

// floods prints the answers to a flood of requests.
func (b built) floods(ctx context.Context) error {
	fmt.Printf("A flood of %d times the runs a second that the bounds of a lab allow, for %s, of `op=http&delay=%s&timeout=%s`; the sender is on the same machine:\n\n",
		floodTimes, floodTime, floodWork, floodAnswer)
	header("the bound", "runs/s", "requests", "answered by a run", "later than the timeout, p99", "bar", "503", "after, p99", "bar", "closed", "no outcome", "")
	for _, f := range floodedLabs {
		s, err := f.start(ctx, b)
		if err != nil {
			return err
		}
		err = f.print(ctx, s)
		if ended := s.stop(); err == nil {
			err = ended
		}
		if err != nil {
			return err
		}
	}
	fmt.Println()
	return nil
}

func (f floodedLab) start(ctx context.Context, b built) (*server, error) {
	return startLimited(ctx, f.files, b.path("gotimeout"), append([]string{"serve", "--addr=127.0.0.1:0", "--log-slow=0"}, f.args...)...)
}

// load returns the capacity of the lab, in runs a second, and the URL of its flood.
func (f floodedLab) load(s *server) (capacity float64, url string, err error) {
	lab, err := described(s.url)
	if err != nil {
		return 0, "", err
	}
	url = fmt.Sprintf("%s/%s?op=http&delay=%s&timeout=%s", s.url, f.strategy, floodWork, floodAnswer)
	return f.capacity(lab.Caps.MaxInFlight, lab.Caps.MaxAbandoned, lab.Caps.MaxDescriptors), url, nil
}

func (f floodedLab) print(ctx context.Context, s *server) error {
	capacity, url, err := f.load(s)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, floodTime)
	defer cancel()
	o := steady(ctx, []*http.Client{clientAt(nil)}, int(floodTimes*capacity), url)
	late, early := o.p99(http.StatusGatewayTimeout)-floodAnswer, o.p99(http.StatusServiceUnavailable)
	run, refused, cut := o.of(http.StatusGatewayTimeout), o.of(http.StatusServiceUnavailable), o.of(closed)
	good := late <= 100*time.Millisecond && early <= 20*time.Millisecond && run > 0 && run+refused+cut == len(o.all)
	row(f.bound, number(capacity), fmt.Sprint(len(o.all)), fmt.Sprint(run), millis(late), "≤ 100 ms", fmt.Sprint(refused), millis(early), "≤ 20 ms", fmt.Sprint(cut), fmt.Sprint(o.of(none)), verdict(good))
	return nil
}

// abuse is what clients do that mean no good.
type abuse struct {
	name    string
	clients int
	apart   bool // each client of a public lab has an address of its own; otherwise all have one
	path    string
	reads   bool // the clients read the answers, and ask again
	rate    int  // requests a second of clients that read; 0 is none
}

var abusesOfLab = []abuse{
	{name: "%d clients ask for `/receipts?limit=%d` and don't read", clients: 100, apart: true, path: "/receipts?limit=%d"},
	{name: "%d clients ask for `/race?times=100` and don't read", clients: 300, apart: true, path: "/race?times=100"},
	{name: "%d clients ask for `/events` and don't read", clients: 1000, path: "/events"},
	{name: "%d clients ask for `/baseline?target=silent&ctx=deaf`", clients: 256, path: "/baseline?op=http&target=silent&ctx=deaf"},
	{name: "`/sockets`, %d times a second", clients: 96, apart: true, path: "/sockets", reads: true, rate: 96},
}

const (
	abuseTime    = 15 * time.Second
	abuseAfter   = 10 * time.Second
	abuseMost    = 300.0 // MB
	abuseReturns = 1.2   // of the memory before
	othersRate   = 20    // requests a second by others
	othersDelay  = 50 * time.Millisecond
)

// abuses prints the memory of a lab, and the answers to its other clients, under each abuse.
func (b built) abuses(ctx context.Context) error {
	fmt.Printf("Abuses for %s, while others ask for `/baseline?op=http&delay=%s` %d times a second, with all the receipts kept that a lab keeps. "+
		"In a public lab unread lists, races and `/sockets` come from as many addresses as clients, the rest from one. Memory is what is resident:\n\n", abuseTime, othersDelay, othersRate)
	header("the lab", "the abuse", "memory before", "at most", "bar", "10 s after", "bar", "answers to others", "later than the delay, p99", "refused", "no outcome", "")
	for _, lab := range []string{"default", "public"} {
		for _, a := range abusesOfLab {
			if err := b.abused(ctx, lab, a); err != nil {
				return fmt.Errorf("%s, %s: %w", lab, a.name, err)
			}
		}
	}
	return nil
}

func (b built) abused(ctx context.Context, kind string, a abuse) error {
	s, err := startServer(ctx, b.path("gotimeout"), "serve", "--addr=127.0.0.1:0", "--log-slow=0", fmt.Sprintf("--public=%t", kind == "public"))
	if err != nil {
		return err
	}
	defer s.stop()
	lab, err := described(s.url)
	if err != nil {
		return err
	}
	if strings.Contains(a.path, "%d") {
		a.name, a.path = fmt.Sprintf(a.name, a.clients, lab.Caps.Receipts), fmt.Sprintf(a.path, lab.Caps.Receipts)
	} else {
		a.name = fmt.Sprintf(a.name, a.clients)
	}
	if err := fill(ctx, s.url, lab.Caps.Receipts); err != nil {
		return err
	}
	wait(ctx, abuseAfter)
	before, err := s.megabytes("VmRSS")
	if err == nil {
		err = s.forgetMost()
	}
	if err != nil {
		return err
	}
	others := a.during(ctx, s.url)
	most, err := s.megabytes("VmHWM")
	if err != nil {
		return err
	}
	wait(ctx, abuseAfter)
	after, err := s.megabytes("VmRSS")
	if err != nil {
		return err
	}
	good := most <= abuseMost && after <= abuseReturns*before && others.of(none) == 0
	late := others.p99(http.StatusOK) - othersDelay
	row(kind, a.name, fmt.Sprintf("%.0f MB", before), fmt.Sprintf("%.0f MB", most), fmt.Sprintf("≤ %.0f MB", abuseMost), fmt.Sprintf("%.0f MB", after), fmt.Sprintf("≤ %.0f MB", abuseReturns*before),
		fmt.Sprint(others.of(http.StatusOK)), millis(late), fmt.Sprint(len(others.all)-others.of(http.StatusOK, none)), fmt.Sprint(others.of(none)), verdict(good))
	return nil
}

// fill makes as many runs as a lab keeps receipts, from so many addresses that each is within its share.
func fill(ctx context.Context, url string, receipts int) error {
	const ofAddress, atOnce = 500, 16
	o := new(outcomes)
	for from := 0; from*ofAddress < receipts; from++ {
		client := clientAt(address(3, from+1))
		var all sync.WaitGroup
		for range atOnce {
			all.Go(func() {
				for range ofAddress/atOnce + 1 {
					o.send(ctx, client, url+"/context-cancel?op=http&delay=0")
				}
			})
		}
		all.Wait()
		client.CloseIdleConnections()
	}
	if n := o.of(http.StatusOK); n < receipts {
		return fmt.Errorf("%d of %d runs have completed: %d are needed", n, len(o.all), receipts)
	}
	return nil
}

// during abuses a lab for a while, and returns the outcomes of the requests of others. The clients leave at the end.
func (a abuse) during(ctx context.Context, url string) *outcomes {
	ctx, cancel := context.WithTimeout(ctx, abuseTime)
	defer cancel()
	var bad sync.WaitGroup
	defer bad.Wait()
	if a.reads {
		clients := make([]*http.Client, a.clients)
		for n := range clients {
			clients[n] = clientAt(a.address(n))
		}
		bad.Go(func() { steady(ctx, clients, a.rate, url+a.path) })
	} else {
		for n := range a.clients {
			bad.Go(func() { a.unread(ctx, url, n) })
		}
	}
	clients := make([]*http.Client, 10)
	for n := range clients {
		clients[n] = clientAt(address(2, n+1))
	}
	return steady(ctx, clients, othersRate, url+fmt.Sprintf("/baseline?op=http&delay=%s", othersDelay))
}

func (a abuse) address(n int) *net.TCPAddr {
	if !a.apart {
		n = 0
	}
	return address(4, n+1)
}

// unread asks again and again and reads no more than the status of the answer.
func (a abuse) unread(ctx context.Context, url string, n int) {
	dialer := net.Dialer{LocalAddr: a.address(n)}
	for ctx.Err() == nil {
		c, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			continue
		}
		_ = c.(*net.TCPConn).SetReadBuffer(4096)
		stop := context.AfterFunc(ctx, func() { c.Close() })
		_, _ = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", a.path)
		var first [16]byte
		if _, err := io.ReadFull(c, first[:]); err == nil && strings.Contains(string(first[:]), " 200") {
			<-ctx.Done()
		}
		if stop() {
			c.Close()
			wait(ctx, time.Second) // it was refused, and says Retry-After: 1
		}
	}
}

// wait returns after a while, or when ctx is done.
func wait(ctx context.Context, while time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, while)
	defer cancel()
	<-ctx.Done()
}
