package netem_test

import (
	"encoding/binary"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
			// At best, for a busy machine is slower, and faster is none.
			const packets = 400
			took := best(func() time.Duration {
				f, _ := fly(t, "127.0.0.1", 0)
				arrivals := f.stream(packets, test.bytes, 0)
				if len(arrivals) != packets {
					t.Fatalf("%d packets came of %d", len(arrivals), packets)
				}
				return arrivals[packets-1].at - arrivals[0].sent - parse(t, test.profile).Up.Delay
			})
			near(t, "Mbit/s", float64(8*test.bytes*packets)/1e6/took.Seconds(), test.want, 0.03*test.want)
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
	open(t)
	everything := int(binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})) // in the network's order
	tap, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK, everything)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(tap)
	c, _ := dial(t, echo(t, "127.0.0.1:0"))
	data := make([]byte, 1<<16)
	if _, err := c.Write(data); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, data); err != nil {
		t.Fatal(err)
	}
	packets, longest := 0, 0
	for {
		n, _, err := unix.Recvfrom(tap, make([]byte, 1<<17), 0)
		if err != nil {
			break
		}
		packets++
		longest = max(longest, n)
	}
	if longest > 1514 || longest < 1000 {
		t.Errorf("the longest of %d packets has %d bytes, want 1514 at most", packets, longest)
	}
}
