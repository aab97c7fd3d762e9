package netem_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"gotimeout/internal/badnet"
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
	overtook, last := 0, len(arrivals)
	for _, a := range slices.Backward(arrivals) {
		if a.number > last {
			overtook++ // one that was sent before it comes later
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

// One packet at a time on each of seven ports, so that none waits for another.
// Quantiles, for a machine that hesitates moves the mean and the deviation; those
// of the tables are exact in TestTables.
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
			took := oneByOne(t, slices.Collect(maps.Keys(plan.Ports)), 100)
			slices.Sort(took)
			for i, percent := range []int{10, 50, 90} {
				got := took[len(took)*percent/100]
				least := time.Duration((want[i] - 2.5) * float64(ms))
				late := []time.Duration{5, 6, 50}[i] * ms // a busy machine's, mostly at the end
				within(t, fmt.Sprintf("%d%%", percent), got, least, least+late)
			}
		})
	}
}

// oneByOne sends packets to each port, the next when one has come, and returns
// how long they all took.
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
