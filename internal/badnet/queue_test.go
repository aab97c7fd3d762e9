package badnet_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/badnet"
)

var roomy = badnet.Bounds{Packets: 1000, Bytes: 1 << 20}

func put(t *testing.T, q *badnet.Queue, after time.Duration, packet string, want bool) {
	t.Helper()
	if got := q.Put(at(after), []byte(packet)); got != want {
		t.Errorf("put of %s: %t, want %t", packet, got, want)
	}
}

// until returns the packets that are released until after, each at the time that Next gives.
func until(t *testing.T, q *badnet.Queue, after time.Duration) string {
	t.Helper()
	var lines []string
	for {
		next, ok := q.Next()
		if !ok || next.After(at(after)) {
			break
		}
		if packet, ok := q.Pop(next.Add(-1)); ok {
			t.Errorf("%s came out a nanosecond early", packet)
		}
		packet, ok := q.Pop(next)
		if !ok {
			t.Fatalf("nothing is released at %s, the time of Next", next.Sub(start))
		}
		lines = append(lines, fmt.Sprintf("%s@%s", packet, next.Sub(start)))
	}
	if packet, ok := q.Pop(at(after)); ok {
		t.Errorf("%s is released, and Next had no time for it", packet)
	}
	return strings.Join(lines, " ")
}

func TestQueueHandsOverInOrder(t *testing.T) {
	q := badnet.NewQueue(roomy)
	put(t, q, 3*time.Hour, "late", true)
	put(t, q, 1*time.Second, "b", true)
	put(t, q, 1*time.Second, "c", true)
	put(t, q, 5*ms, "a", true)
	put(t, q, -time.Hour, "past", true)
	check(t, "at once", until(t, q, 0), "past@-1h0m0s")
	check(t, "later", until(t, q, 2*time.Second), "a@5ms b@1s c@1s")
	put(t, q, 1*time.Second, "d", true)
	check(t, "all", until(t, q, 4*time.Hour), "d@1s late@3h0m0s")
}

func TestQueueSortsAnyOrder(t *testing.T) {
	q := badnet.NewQueue(roomy)
	var want []string
	for i := range 500 {
		want = append(want, fmt.Sprintf("%03d@%s", i, time.Duration(i/2)*ms+ms))
	}
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(250) { // each time has two packets, in their order
		put(t, q, time.Duration(i)*ms+ms, fmt.Sprintf("%03d", 2*i), true)
		put(t, q, time.Duration(i)*ms+ms, fmt.Sprintf("%03d", 2*i+1), true)
	}
	check(t, "all", until(t, q, time.Second), strings.Join(want, " "))
}

func TestQueueIsBounded(t *testing.T) {
	q := badnet.NewQueue(badnet.Bounds{Packets: 3, Bytes: 10})
	put(t, q, 1*time.Second, "12345", true)
	put(t, q, 2*time.Second, "123456", false)
	put(t, q, 2*time.Second, "1234", true)
	put(t, q, 3*time.Second, "1", true)
	put(t, q, 4*time.Second, "", false)
	if got, want := q.Held(), (badnet.Bounds{Packets: 3, Bytes: 10}); got != want {
		t.Errorf("held %+v, want %+v", got, want)
	}
	check(t, "the first", until(t, q, time.Second), "12345@1s")
	put(t, q, 4*time.Second, "12345", true)
	check(t, "all", until(t, q, time.Minute), "1234@2s 1@3s 12345@4s")
	if got := q.Held(); got != (badnet.Bounds{}) {
		t.Errorf("held %+v, want nothing", got)
	}
}

// The test runs a Shaper and a Queue as a driver does, exact to the nanosecond, while the
// link changes.
func TestShaperAndQueue(t *testing.T) {
	q, s := badnet.NewQueue(roomy), shaper(t, "delay=1m rate=1mbit duplicate=100%")
	send := func(after time.Duration, packet string) {
		for _, release := range s.Send(nil, at(after), len(packet)) {
			put(t, q, release.Sub(start), packet, true)
		}
	}
	send(0, "12345")
	send(0, "6")
	s.Set(link(t, "delay=30s reorder=100%"))
	send(time.Second, "fast")
	s.Set(link(t, "delay=59s"))
	send(time.Second, "slow")
	check(t, "all", until(t, q, 3*time.Hour),
		"fast@1s 12345@1m0.00004s 12345@1m0.00008s 6@1m0.000088s 6@1m0.000096s slow@1m0.000096s")
}
