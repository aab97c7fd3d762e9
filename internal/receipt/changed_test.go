package receipt_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/internal/receipt"
)

// Whoever watches is told of each change, and asks again: nothing is missed,
// and the complete one is the last.
func TestChanged(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		r := open(t, l, receipt.Run{Timeout: hour, Ops: 1, Backends: 1, Seen: true})
		start := time.Now()
		type sight struct {
			at      time.Duration
			figures string
		}
		sights := make(chan sight, 9)
		go func() {
			defer close(sights)
			for {
				changed := r.Changed()
				v := r.View()
				sights <- sight{time.Since(start), figures(v)}
				if v.Complete {
					return
				}
				<-changed
			}
		}()
		for _, do := range []func(*receipt.Receipt){began, answer(receipt.TimedOut), opEnds, ended} {
			time.Sleep(hour)
			do(r)
		}
		want := []sight{
			{0, "- - - - - -"},
			{2 * hour, "7200000 3600000 - - - -"},
			{3 * hour, "7200000 3600000 10800000 3600000 - -"},
			{4 * hour, "7200000 3600000 10800000 3600000 14400000 7200000"},
		}
		for s := range sights {
			if len(want) == 0 || s != want[0] {
				t.Fatalf("%+v, want %+v", s, want)
			}
			want = want[1:]
		}
		if len(want) > 0 {
			t.Errorf("never %+v", want)
		}
	})
}

// A backend that did not begin completes the receipt a moment later: a change too.
func TestChangedWhenSettled(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		start := time.Now()
		r := play(t, l, seen, step{hour, completes})
		<-r.Changed()
		if d := time.Since(start); d != hour+settling {
			t.Errorf("changed after %v", d)
		}
		checkComplete(t, r, true)
	})
}

// Many watch one receipt.
func TestChangedForMany(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		r := open(t, l, receipt.Run{Ops: 1})
		var told atomic.Int32
		for range 3 {
			changed := r.Changed()
			go func() { <-changed; told.Add(1) }()
		}
		synctest.Wait()
		if told.Load() > 0 {
			t.Error("told of nothing")
		}
		r.Answered(receipt.Completed, nil)
		synctest.Wait()
		if told.Load() != 3 {
			t.Errorf("%d were told, want 3", told.Load())
		}
	})
}

func TestHasAnswer(t *testing.T) {
	r := open(t, receipt.NewLedger("lab", 1, roomy), receipt.Run{Ops: 1})
	opEnds(r)
	if r.HasAnswer() {
		t.Error("it has one before Answered")
	}
	r.Answered(receipt.Failed, nil)
	if !r.HasAnswer() {
		t.Error("it has none")
	}
}

// A run that nobody watches pays nothing for it.
func TestRecordAllocations(t *testing.T) {
	l := receipt.NewLedger("lab", 100, roomy)
	const most = 3 // the receipt, its ID and the watched op
	if n := testing.AllocsPerRun(1000, func() { record(l) }); n > most {
		t.Errorf("%v allocations a request, want at most %d", n, most)
	}
}
