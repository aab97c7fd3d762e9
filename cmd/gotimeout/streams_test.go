package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/backends"
	dbbackend "gotimeout/internal/backends/db"
	"gotimeout/internal/receipt"
)

// events reads a stream of events.
type events struct {
	*http.Response
	lines *bufio.Scanner
}

func (p program) listen(t *testing.T, path string) events {
	t.Helper()
	resp, err := http.Get(p.url + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s", path, resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	return events{resp, lines}
}

// next returns the name of the next event and decodes its data. It returns "" after the
// regular end of the stream.
func (e events) next(t *testing.T, data any) (name string) {
	t.Helper()
	for e.lines.Scan() {
		field, value, _ := strings.Cut(e.lines.Text(), ": ")
		switch field {
		case "event":
			name = value
		case "data":
			if err := json.Unmarshal([]byte(value), data); err != nil {
				t.Fatalf("%v in %s", err, value)
			}
			return name
		}
	}
	if err := e.lines.Err(); err != nil {
		t.Fatal(err)
	}
	return ""
}

// A race has events of every strategy, and its last figures are those of the receipts.
func TestRaceOverALab(t *testing.T) {
	t.Parallel()
	p := start(t)
	type run struct {
		receipt.View
		Receipt string
		Left    string
	}
	e := p.listen(t, "/race?op=all&delay=6s&timeout=2s&times=2")
	first, last := map[string]run{}, map[string]run{}
	var names []struct{ Name string }
	for {
		var got struct {
			Strategies []struct{ Name string }
			N          int
			run
		}
		name := e.next(t, &got)
		if name == "start" {
			names = got.Strategies
			continue
		} else if name == "done" {
			break
		} else if name != "run" {
			t.Fatalf("%q: %+v", name, got)
		}
		key := fmt.Sprint(got.Name, " ", got.N)
		if _, told := first[key]; !told {
			first[key] = got.run
		}
		last[key] = got.run
	}
	if name := e.next(t, new(any)); name != "" {
		t.Errorf("%q after done", name)
	}
	if len(last) != 2*len(names) || len(names) != suiting("all") {
		t.Fatalf("%d runs of %d strategies", len(last), len(names))
	}
	for key, got := range last {
		var want receipt.View
		p.get(t, "/receipts/"+got.Receipt, &want)
		if !got.Complete || !want.Complete || describe(got.View) != describe(want) {
			t.Errorf("%s: %s, the receipt: %s", key, describe(got.View), describe(want))
		}
		abandoned := strings.HasPrefix(key, "goroutine-abandon")
		stayed := strings.Contains(got.Left, fmt.Sprintf("its %d goroutines and their connections stayed for", len(together)))
		// http.TimeoutHandler answers and cancels at once, so its goroutines may be the later ones.
		if abandoned != stayed && !strings.HasPrefix(key, "timeout-handler") || abandoned && first[key].Ended != nil {
			t.Errorf("%s: %q, first %s", key, got.Left, describe(first[key].View))
		}
	}
}

type now struct {
	Abandoned int
	Backends  []struct {
		Name        string
		Connections *int
		ForNobody   *int `json:"for_nobody"`
	}
	Receipts []receipt.View
}

// forNobody describes the work for nobody of each backend.
func (n now) forNobody() string {
	var words []string
	for _, b := range n.Backends {
		word := "?"
		if b.ForNobody != nil {
			word = fmt.Sprint(*b.ForNobody)
		}
		words = append(words, b.Name+"="+word)
	}
	return strings.Join(words, " ")
}

// The gauges show the backends' work for nobody and its end, for a real database from its
// process list. On a slow machine too, each call is sent before its timeout, and the work
// for nobody of all of them overlaps for some events: the cancelled SLEEP ends after 5 s.
func TestGauges(t *testing.T) {
	t.Parallel()
	for name, real := range map[string]bool{"embedded": false, "real": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var args []string
			busy, idle := "http=1 cache=1 db=2 postgres=0 redis=1 grpc=1", "http=0 cache=0 db=0 postgres=0 redis=0 grpc=0"
			if real {
				db, err := dbbackend.Start(backends.Options{MaxDelay: time.Minute})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = db.Close() })
				args = []string{"--http-url=http://" + closedPort(t), "--db-dsn=lab@tcp(" + db.Addr + ")/lab"}
				busy, idle = "http=? cache=1 db=2 postgres=0 redis=1 grpc=1", "http=? cache=0 db=0 postgres=0 redis=0 grpc=0"
			}
			p := start(t, args...)
			e := p.listen(t, "/events")
			for _, path := range []string{"/goroutine-abandon?op=http", "/goroutine-abandon?op=cache", "/goroutine-abandon?op=db", "/goroutine-abandon?op=redis", "/goroutine-abandon?op=grpc", "/context-cancel?op=db"} {
				go func() { _, _ = p.fetch(path+"&delay=10s&timeout=2s", new(any)) }()
			}
			for _, want := range []string{busy, idle} {
				var got now
				var seen []string
				for end := time.Now().Add(time.Minute); got.forNobody() != want; seen = append(seen, got.forNobody()) {
					if got = (now{}); e.next(t, &got) != "now" || time.Now().After(end) {
						t.Fatalf("never %s, but %q, with %+v", want, seen, got.Receipts)
					}
				}
				if len(got.Receipts) != 6 {
					t.Errorf("%d receipts", len(got.Receipts))
				}
			}
		})
	}
}

// A signal ends the streams long before the runs of a race would end.
func TestStopsWithOpenStreams(t *testing.T) {
	t.Parallel()
	p := start(t, "--max-delay=1m")
	gauges := p.listen(t, "/events")
	race := p.listen(t, "/race?delay=1m&timeout=30s&ctx=deaf")
	gauges.next(t, new(any))
	race.next(t, new(any))
	p.await(t, "in flight", func(c receipt.Counts) bool { return c.InFlight == suiting("http") })
	asked := time.Now()
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log)
	}
	if d := time.Since(asked); d > 10*time.Second {
		t.Errorf("the stop took %v", d)
	} else {
		t.Logf("the stop took %v", d)
	}
	for name := "-"; name != ""; {
		name = gauges.next(t, new(any))
	}
	name := "run" // of offload, which has answered
	var end struct{ Reason string }
	for name == "run" {
		name = race.next(t, &end)
	}
	if name != "cut" || end.Reason != "the lab is stopping" {
		t.Errorf("the race ended with %q, %+v", name, end)
	}
}

// A signal does not wait for a body that its client never ends.
func TestStopsDuringABody(t *testing.T) {
	t.Parallel()
	p := start(t, "--network-driver=proxy")
	addr := strings.TrimPrefix(p.url, "http://")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PUT /network HTTP/1.1\r\nHost: %s\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n", addr)
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") { // the handler reads
		t.Fatalf("%q, %v", line, err)
	}
	_, _ = answers.ReadString('\n')
	fmt.Fprint(conn, "delay")
	asked := time.Now()
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log)
	}
	if d := time.Since(asked); d > 10*time.Second {
		t.Errorf("the stop took %v", d)
	}
	resp, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(text), "the lab is stopping") {
		t.Errorf("%s: %s, %v", resp.Status, text, err)
	}
}
