package badnet_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/internal/badnet"
)

var roomy = badnet.Bounds{Packets: 1000, Bytes: 1 << 20}

// log writes what a Queue hands over, and when.
type log struct {
	start time.Time

	mu    sync.Mutex
	lines []string
}

func (l *log) deliver(packet []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf("%s@%s", packet, time.Since(l.start)))
}

// String returns what was handed over by now.
func (l *log) String() string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, " ")
}

// queue runs a test with a Queue where time is exact.
func queue(t *testing.T, limits badnet.Bounds, test func(q *badnet.Queue, l *log)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &log{start: time.Now()}
		q := badnet.NewQueue(limits, l.deliver)
		defer q.Close()
		test(q, l)
	})
}

func put(t *testing.T, q *badnet.Queue, l *log, after time.Duration, packet string, want bool) {
	t.Helper()
	if got := q.Put(l.start.Add(after), []byte(packet)); got != want {
		t.Errorf("put of %s: %t, want %t", packet, got, want)
	}
}

func TestQueueHandsOverInOrder(t *testing.T) {
	queue(t, roomy, func(q *badnet.Queue, l *log) {
		put(t, q, l, 3*time.Hour, "late", true)
		put(t, q, l, 1*time.Second, "b", true)
		put(t, q, l, 1*time.Second, "c", true)
		synctest.Wait() // the timer is set for them
		put(t, q, l, 5*ms, "a", true)
		put(t, q, l, -time.Hour, "past", true)
		check(t, "at once", l.String(), "past@0s")
		time.Sleep(2 * time.Second)
		put(t, q, l, 1*time.Second, "d", true)
		time.Sleep(4 * time.Hour)
		check(t, "all", l.String(), "past@0s a@5ms b@1s c@1s d@2s late@3h0m0s")
	})
}

func TestQueueSortsAnyOrder(t *testing.T) {
	queue(t, roomy, func(q *badnet.Queue, l *log) {
		var want []string
		for i := range 500 {
			want = append(want, fmt.Sprintf("%03d@%s", i, time.Duration(i/2)*ms+ms))
		}
		order := rand.New(rand.NewPCG(1, 2)).Perm(250)
		for _, i := range order { // two for each time, in their order
			put(t, q, l, time.Duration(i)*ms+ms, fmt.Sprintf("%03d", 2*i), true)
			put(t, q, l, time.Duration(i)*ms+ms, fmt.Sprintf("%03d", 2*i+1), true)
		}
		time.Sleep(time.Second)
		check(t, "all", l.String(), strings.Join(want, " "))
	})
}

func TestQueueIsBounded(t *testing.T) {
	queue(t, badnet.Bounds{Packets: 3, Bytes: 10}, func(q *badnet.Queue, l *log) {
		put(t, q, l, 1*time.Second, "12345", true)
		put(t, q, l, 2*time.Second, "123456", false)
		put(t, q, l, 2*time.Second, "1234", true)
		put(t, q, l, 3*time.Second, "1", true)
		put(t, q, l, 4*time.Second, "", false)
		if got, want := q.Held(), (badnet.Bounds{Packets: 3, Bytes: 10}); got != want {
			t.Errorf("held %+v, want %+v", got, want)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		put(t, q, l, 4*time.Second, "12345", true)
		time.Sleep(time.Minute)
		check(t, "all", l.String(), "12345@1s 1234@2s 1@3s 12345@4s")
		if got := q.Held(); got != (badnet.Bounds{}) {
			t.Errorf("held %+v, want nothing", got)
		}
	})
}

func TestQueueClose(t *testing.T) {
	queue(t, roomy, func(q *badnet.Queue, l *log) {
		put(t, q, l, 1*time.Second, "a", true)
		put(t, q, l, 2*time.Second, "b", true)
		time.Sleep(1500 * ms)
		q.Close()
		q.Close()
		put(t, q, l, 2*time.Second, "c", false)
		if got := q.Held(); got != (badnet.Bounds{}) {
			t.Errorf("held %+v, want nothing", got)
		}
		time.Sleep(time.Hour)
		check(t, "before the close", l.String(), "a@1s")
	})
}

// Close waits for the one that is being handed over, and no other follows.
func TestQueueCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, delivered := time.Now(), 0
		q := badnet.NewQueue(roomy, func([]byte) {
			time.Sleep(time.Second)
			delivered++
		})
		q.Put(began, nil)
		q.Put(began, nil)
		synctest.Wait()
		q.Close()
		if took := time.Since(began); took != time.Second || delivered != 1 {
			t.Errorf("closed after %s with %d handed over, want 1s and 1", took, delivered)
		}
	})
}

// Many put at once, with the race detector looking on; none is lost.
func TestQueueFromMany(t *testing.T) {
	const writers, each = 8, 500
	delivered, all := 0, make(chan struct{})
	q := badnet.NewQueue(badnet.Bounds{Packets: writers * each, Bytes: writers * each}, func([]byte) {
		if delivered++; delivered == writers*each {
			close(all)
		}
	})
	defer q.Close()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if !q.Put(time.Now().Add(time.Duration(i*w%50)*10*time.Microsecond), []byte{0}) {
					t.Error("out of bounds")
				}
			}
		})
	}
	wg.Wait()
	<-all
}

// A link as a driver runs it: to the nanosecond, while it changes.
func TestLinkInABubble(t *testing.T) {
	queue(t, roomy, func(q *badnet.Queue, l *log) {
		s := shaper(t, "delay=1m rate=1mbit duplicate=100%")
		var buf []time.Time
		send := func(packet string) {
			buf = s.Send(buf[:0], time.Now(), len(packet))
			for _, release := range buf {
				if !q.Put(release, []byte(packet)) {
					t.Errorf("%s is out of bounds", packet)
				}
			}
		}
		send("12345")
		send("6")
		time.Sleep(time.Second)
		s.Set(link(t, "delay=30s reorder=100%"))
		send("fast")
		s.Set(link(t, "delay=59s"))
		send("slow")
		time.Sleep(3 * time.Hour)
		check(t, "all", l.String(),
			"fast@1s 12345@1m0.00004s 12345@1m0.00008s 6@1m0.000088s 6@1m0.000096s slow@1m0.000096s")
	})
}
