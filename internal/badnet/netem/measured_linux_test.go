package netem_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"gotimeout/internal/badnet"

	"golang.org/x/sys/unix"
)

const ms = time.Millisecond

func TestLossIsEachOnItsOwn(t *testing.T) {
	n := open(t)
	apply(t, n, "loss=5%")
	f, _ := fly(t, "127.0.0.1", 0)
	share, burst := losses(f.counts(20_000))
	near(t, "share", share, 0.05, 0.007)
	near(t, "mean burst", burst, 1/0.95, 0.06)
	totals, err := n.Totals()
	if err != nil {
		t.Fatal(err)
	}
	near(t, "packets in Totals", float64(totals.Packets), 20_000, strays)
	near(t, "dropped in Totals", float64(totals.Dropped), share*20_000, 0.1*strays)
}

func TestLossInBursts(t *testing.T) {
	n := open(t)
	apply(t, n, "loss=5%,burst=4")
	f, _ := fly(t, "127.0.0.1", 0)
	share, burst := losses(f.counts(40_000))
	near(t, "share", share, 0.05, 0.0125)
	near(t, "mean burst", burst, 4, 0.7)
}

// netem's formula of a correlation makes 0.2% of 5%, each direction on its own.
func TestLossCorrelation(t *testing.T) {
	n := open(t)
	apply(t, n, "loss=5%,correlation=25%")
	f, _ := fly(t, "127.0.0.1", 0)
	share, _ := losses(f.counts(20_000))
	near(t, "share", share, 0.00196, 0.0014)
	apply(t, n, "loss=5%") // in place
	share, _ = losses(f.counts(5000))
	near(t, "share without a correlation", share, 0.05, 0.014)
}

// The receiver drops the corrupted packets, except for those whose bit is in the source
// address of the link's header, of 14 bytes, that nobody reads.
func TestCorrupt(t *testing.T) {
	n := open(t)
	apply(t, n, "corrupt=50%")
	f, _ := fly(t, "127.0.0.1", 0)
	lost, _ := losses(f.counts(10_000))
	if lost < 0.35 || lost > 0.52 {
		t.Errorf("%v are lost of 50%% corrupted", lost)
	}
	apply(t, n, "none")
	lost, _ = losses(f.counts(1000))
	near(t, "share lost without corruption", lost, 0, 0)
}

func TestDuplicate(t *testing.T) {
	n := open(t)
	apply(t, n, "duplicate=10%")
	f, _ := fly(t, "127.0.0.1", 0)
	counts := f.counts(10_000)
	near(t, "share that came twice", shareOf(counts, 2), 0.1, 0.012)
	near(t, "share that came once", shareOf(counts, 1), 0.9, 0.012)
}

// By netem's own meaning of loss and duplicate the link would lose 8% and copy 16%.
func TestDuplicateBesideLoss(t *testing.T) {
	n := open(t)
	apply(t, n, "duplicate=20% loss=10%")
	f, _ := fly(t, "127.0.0.1", 0)
	counts := f.counts(20_000)
	near(t, "share that was lost", shareOf(counts, 0), 0.1, 0.009)
	near(t, "share that came twice", shareOf(counts, 2), 0.9*0.2, 0.011)
}

func TestBlackhole(t *testing.T) {
	n := open(t)
	apply(t, n, "loss=100% duplicate=50%")
	f, _ := fly(t, "127.0.0.1", 0)
	near(t, "share that was lost", shareOf(f.counts(500), 0), 1, 0)
}

func TestReorder(t *testing.T) {
	n := open(t)
	apply(t, n, "delay=50ms reorder=25%")
	f, _ := fly(t, "127.0.0.1", 0)
	arrivals := f.stream(1000, 100, ms)
	overtook, last := 0, len(arrivals)
	for _, a := range slices.Backward(arrivals) {
		if a.number > last {
			overtook++ // a packet that was sent earlier comes later
		}
		last = min(last, a.number)
	}
	near(t, "packets that came", float64(len(arrivals)), 1000, 0)
	near(t, "share that overtook", float64(overtook)/1000, 0.25, 0.06)
}

func TestJitterKeepsTheOrder(t *testing.T) {
	for _, profile := range []string{
		"delay=50ms jitter=50ms", "delay=50ms jitter=20ms,normal",
		"delay=50ms jitter=20ms,pareto", "delay=50ms jitter=50ms rate=10mbit",
	} {
		t.Run(profile, func(t *testing.T) {
			n := open(t)
			apply(t, n, profile)
			f, _ := fly(t, "127.0.0.1", 0)
			arrivals := f.stream(200, 100, ms)
			for i, a := range arrivals {
				if a.number != i {
					t.Fatalf("packet %d came in the place of %d", a.number, i)
				}
			}
			near(t, "packets that came", float64(len(arrivals)), 200, 0)
		})
	}
}

// Each of seven ports sends one packet at a time, so that no packet waits for another.
// The test compares quantiles, because a busy machine moves the mean and the deviation.
// TestTables has the exact mean and deviation.
func TestDistributions(t *testing.T) {
	for name, want := range map[string][3]float64{ // in ms, of 10%, 50% and 90% of the packets
		"uniform": {32, 40, 48}, "normal": {27.2, 40, 52.8}, "pareto": {32.4, 36.4, 52.2},
	} {
		t.Run(name, func(t *testing.T) {
			n := open(t)
			plan := badnet.Plan{Ports: map[uint16]badnet.Profile{}}
			for port := range uint16(7) {
				plan.Ports[5010+port] = parse(t, "delay=40ms jitter=10ms,"+name)
			}
			if err := n.Apply(plan); err != nil {
				t.Fatal(err)
			}
			// The least late of ten rounds: a busy machine makes packets late, the slowest the most, and none early.
			var got [3]time.Duration
			for range 10 {
				var took []time.Duration
				t.Run("round", func(t *testing.T) { took = oneByOne(t, slices.Collect(maps.Keys(plan.Ports)), 100) }) // which frees the ports
				slices.Sort(took)
				ok := true
				for i, percent := range []int{10, 50, 90} {
					got[i] = took[len(took)*percent/100]
					least := time.Duration((want[i] - 2.5) * float64(ms))
					late := []time.Duration{5, 6, 50}[i] * ms
					within(t, fmt.Sprintf("%d%%", percent), got[i], least, time.Hour)
					ok = ok && got[i] <= least+late
				}
				if ok {
					return
				}
			}
			t.Errorf("10%%, 50%% and 90%% are %v, want %v ms and at most some ms more", got, want)
		})
	}
}

// oneByOne sends packets to each port, each after the one before has arrived, and
// returns how long each packet took.
func oneByOne(t *testing.T, ports []uint16, packets int) (took []time.Duration) {
	t.Helper()
	each := make(chan []time.Duration)
	for _, port := range ports {
		f, _ := fly(t, "127.0.0.1", int(port))
		go func() {
			var took []time.Duration
			for i := range packets {
				f.send(i, 100)
				a, ok := f.receive(time.Second)
				if !ok {
					t.Error("a packet didn't come")
				}
				took = append(took, a.took())
			}
			each <- took
		}()
	}
	for range ports {
		took = append(took, <-each...)
	}
	return took
}

// losses returns the share of lost packets, and the mean length of a burst of losses.
func losses(counts []int) (share, burst float64) {
	lost, runs, before := 0, 0, 1
	for _, n := range counts {
		if n == 0 {
			lost++
			if before > 0 {
				runs++
			}
		}
		before = n
	}
	return float64(lost) / float64(len(counts)), float64(lost) / float64(max(runs, 1))
}

func shareOf(counts []int, want int) float64 {
	n := 0
	for _, c := range counts {
		if c == want {
			n++
		}
	}
	return float64(n) / float64(len(counts))
}

// The rate doesn't count the link's own header; short packets would show it.
func TestRate(t *testing.T) {
	for _, test := range []struct {
		profile string
		bytes   int
		want    float64 // Mbit/s
	}{{"rate=10mbit", 1500, 10}, {"rate=1mbit", 200, 1}, {"rate=10mbit delay=100ms", 1500, 10}} {
		t.Run(test.profile, func(t *testing.T) {
			n := open(t)
			apply(t, n, test.profile)
			// The best of several: a busy machine is slower, and no machine is faster.
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

// The limit counts the packets that wait for the rate, and not those in the delay.
func TestLimit(t *testing.T) {
	for profile, queue := range map[string]struct {
		packets float64
		delay   time.Duration
	}{
		"rate=1mbit limit=10":             {10, 0},
		"rate=1mbit limit=10 delay=120ms": {20, 120 * ms}, // ten take 120 ms
	} {
		t.Run(profile, func(t *testing.T) {
			n := open(t)
			apply(t, n, profile)
			f, _ := fly(t, "127.0.0.1", 0)
			came := f.stream(100, 1500, 0)
			if len(came) == 0 {
				t.Fatal("no packet came")
			}
			// A slow machine is still sending when the first packets have left the queue, one in 12 ms.
			left := max(0, came[len(came)-1].sent-came[0].sent-queue.delay) / (12 * ms)
			near(t, "packets that came", float64(len(came)), queue.packets+float64(left), 2)
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

// Packets that the kernel joined into one segment would be lost together.
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
