package netem_test

import (
	"io"
	"net"
	"testing"
	"time"
)

// The link's own header doesn't count, which would show on short packets.
func TestRate(t *testing.T) {
	for _, test := range []struct {
		profile string
		bytes   int
		want    float64 // Mbit/s
	}{{"rate=10mbit", 1500, 10}, {"rate=1mbit", 200, 1}, {"rate=10mbit delay=100ms", 1500, 10}} {
		t.Run(test.profile, func(t *testing.T) {
			n := open(t)
			apply(t, n, test.profile)
			f, _ := fly(t, "127.0.0.1", 0)
			const packets = 400
			arrivals := f.stream(packets, test.bytes, 0)
			if len(arrivals) != packets {
				t.Fatalf("%d packets came of %d", len(arrivals), packets)
			}
			took := arrivals[packets-1].at - arrivals[0].sent - parse(t, test.profile).Up.Delay
			near(t, "Mbit/s", float64(8*test.bytes*packets)/1e6/took.Seconds(), test.want, 0.04*test.want)
		})
	}
}

// The limit is of the packets that wait for the rate; those in the delay are no
// part of it.
func TestLimit(t *testing.T) {
	for profile, want := range map[string]float64{
		"rate=1mbit limit=10":             10,
		"rate=1mbit limit=10 delay=120ms": 20, // ten take 120 ms
	} {
		t.Run(profile, func(t *testing.T) {
			n := open(t)
			apply(t, n, profile)
			f, _ := fly(t, "127.0.0.1", 0)
			near(t, "packets that came", float64(len(f.stream(100, 1500, 0))), want, 2)
		})
	}
}

func TestDelayAloneDropsNothing(t *testing.T) {
	n := open(t)
	apply(t, n, "delay=300ms")
	f, _ := fly(t, "127.0.0.1", 0)
	for i := range 5000 {
		f.send(i, 50)
	}
	totals, err := n.Totals()
	if err != nil {
		t.Fatal(err)
	}
	near(t, "packets", float64(totals.Packets), 5000, strays)
	near(t, "dropped", float64(totals.Dropped), 0, 0)
}

// A queue of 1.2 s in one direction costs the other nothing.
func TestEachDirectionHasItsRate(t *testing.T) {
	n := open(t)
	apply(t, n, "rate=1mbit")
	there, back := fly(t, "127.0.0.1", 5000)
	for i := range 100 {
		there.send(i, 1500)
	}
	back.send(0, 100)
	a, ok := back.receive(2 * time.Second)
	if !ok {
		t.Fatal("nothing came back")
	}
	within(t, "the way back", a.took(), 0, 300*ms)
	first := there.all(time.Second)
	within(t, "the last one there", first[len(first)-1].took(), 1100*ms, 1500*ms)
}

// What the kernel puts together would be lost, and sent, as one.
func TestPacketsAreSingle(t *testing.T) {
	n := open(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan int64)
	go func() {
		c, err := l.Accept()
		if err != nil {
			done <- 0
			return
		}
		defer c.Close()
		got, _ := io.Copy(io.Discard, c)
		done <- got
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	const bytes = 4 << 20
	if _, err := c.Write(make([]byte, bytes)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got := <-done; got != bytes {
		t.Fatalf("%d bytes came of %d", got, bytes)
	}
	totals, err := n.Totals()
	if err != nil {
		t.Fatal(err)
	}
	if least := uint64(bytes / 1448); totals.Packets < least {
		t.Errorf("%d packets, want %d or more", totals.Packets, least)
	}
}
