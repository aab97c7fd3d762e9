package netem_test

import (
	"math"
	"testing"
	"time"
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
	near(t, "dropped in Totals", float64(totals.Dropped), share*20_000, strays)
}

func TestLossInBursts(t *testing.T) {
	n := open(t)
	apply(t, n, "loss=5%,burst=4")
	f, _ := fly(t, "127.0.0.1", 0)
	share, burst := losses(f.counts(20_000))
	near(t, "share", share, 0.05, 0.013)
	near(t, "mean burst", burst, 4, 0.7)
}

func TestDuplicate(t *testing.T) {
	n := open(t)
	apply(t, n, "duplicate=10%")
	f, _ := fly(t, "127.0.0.1", 0)
	counts := f.counts(10_000)
	near(t, "share that came twice", shareOf(counts, 2), 0.1, 0.012)
	near(t, "share that came once", shareOf(counts, 1), 0.9, 0.012)
}

// netem's own meaning of the two would lose 8% here, and copy 16%.
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
	early := 0
	for _, a := range arrivals {
		if a.took() < 25*ms {
			early++
		} else {
			within(t, "a packet that keeps its place", a.took(), 50*ms, 90*ms)
		}
	}
	near(t, "packets that came", float64(len(arrivals)), 1000, 0)
	near(t, "share that overtook", float64(early)/1000, 0.25, 0.05)
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

// One packet at a time, so that none waits for another.
func TestDistributions(t *testing.T) {
	for name, deviation := range map[string]float64{
		"uniform": 4 / math.Sqrt(3), "normal": 4, "pareto": 4,
	} {
		t.Run(name, func(t *testing.T) {
			n := open(t)
			apply(t, n, "delay=20ms jitter=4ms,"+name)
			f, _ := fly(t, "127.0.0.1", 0)
			const packets = 250
			var sum, squares float64
			for i := range packets {
				f.send(i, 100)
				a, ok := f.receive(time.Second)
				if !ok {
					t.Fatal("a packet didn't come")
				}
				took := float64(a.took()) / float64(ms)
				sum += took
				squares += took * took
			}
			mean := sum / packets
			near(t, "mean in ms", mean, 20.4, 1.2)
			near(t, "deviation in ms", math.Sqrt(squares/packets-mean*mean), deviation, 0.9)
		})
	}
}

// losses returns the share that never came, and how long the runs of them were.
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
