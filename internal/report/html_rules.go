package report

import (
	"cmp"
	"fmt"
	"math"

	"gotimeout/internal/results"
)

// rule looks at one thing that a row may have done.
type rule struct {
	find    func(judged) finding
	serious bool // it harms what comes after
	cost    bool // it is the price of a bound: no work is left behind
}

// By how much a figure must exceed the floor's to be worth a sentence.
const (
	chanceMillis  = 5 // as results counts late answers and wasted work
	chanceCount   = 3 // goroutines and connections of the runtime's and the pools' own
	chanceSockets = 10
)

// rules are in the order in which their sentences stand.
func rules() []rule {
	return []rule{
		{find: wrongAnswers, serious: true},
		{find: probeFailures, serious: true},
		{find: goroutinesLeft, serious: true},
		{find: connectionsLeft, serious: true},
		{find: openReceipts, serious: true},
		{find: late},
		{find: waste},
		{find: falseTimeouts},
		{find: failed},
		{find: refused},
		{find: straggle},
		{find: overshoot},
		{find: probeTime},
		{find: timeWait, cost: true},
		{find: dialled, cost: true},
	}
}

func wrongAnswers(j judged) finding {
	n := j.beyond(results.WrongAnswers, 0)
	return finding{size: n, short: digits(n),
		say: fmt.Sprintf("gave %s the answer to another's question", plural(n, "call"))}
}

func probeFailures(j judged) finding {
	n := j.beyond(results.ProbeFailures, 0)
	of := ""
	if j.run.Probes > 0 {
		of = fmt.Sprintf(" of %d", j.run.Probes)
	}
	return finding{size: n, short: digits(n),
		say: fmt.Sprintf("spoiled what came after: %s%s clean calls on the same pools failed", digits(n), of)}
}

func goroutinesLeft(j judged) finding {
	return leftBehind(j, results.GoroutinesLeft, "goroutine")
}

func connectionsLeft(j judged) finding {
	return leftBehind(j, results.ConnectionsLeft, "connection")
}

func leftBehind(j judged, place int, noun string) finding {
	n := orZero(j.Row, place)
	return finding{size: j.beyond(place, chanceCount), short: digits(n),
		say: fmt.Sprintf("still had %s more than before when all had ended and idle connections were closed%s", plural(n, noun), j.bracketed(place, digits))}
}

func openReceipts(j judged) finding {
	n := j.beyond(results.OpenReceipts, 0)
	return finding{size: n, short: digits(n),
		say: fmt.Sprintf("had %s that still went on when the wait for the last was over", plural(n, "run"))}
}

func late(j judged) finding {
	n := j.beyond(results.Late, 0)
	if j.Unbounded {
		n = 0
	}
	return finding{size: n, short: digits(n),
		say: fmt.Sprintf("did not bind: %s of %s came with their result more than 5 ms after the timeout of %s", digits(n), plural(orZero(j.Row, results.Requests), "request"), setting(j.Timeout))}
}

func waste(j judged) finding {
	seconds, part := orZero(j.Row, results.WastePer1000), orZero(j.Row, results.RanOnPercent)
	size := j.beyond(results.WastePer1000, chanceMillis) // a millisecond a call is a second per 1,000
	if part == 0 {
		size = 0
	}
	if j.beyond(results.StraggleP99, chanceMillis) == 0 {
		size *= 2 // nothing of it is seen here, which tells the more
	}
	opening, rate := "", ""
	if at := j.Figures[results.OvershootP99]; at != nil && j.beyond(results.OvershootP99, chanceMillis) == 0 {
		opening = fmt.Sprintf("answered %s late (p99%s), but ", millis(*at), j.beside(results.OvershootP99, "; ", millis))
	}
	if j.run.Rate > 0 {
		rate = fmt.Sprintf(", %s for each second of the load", digits(seconds*j.run.Rate/1000))
	}
	return finding{size: math.Round(size), short: digits(seconds) + " s",
		say: fmt.Sprintf("%slet %s %% of its timed-out calls run on in %s: %s backend seconds for nobody per 1,000 requests%s%s",
			opening, digits(part), orBackend(j.Backend), digits(seconds), rate, j.bracketed(results.WastePer1000, digits))}
}

func orBackend(noun string) string { return cmp.Or(noun, "the backend") }

func falseTimeouts(j judged) finding {
	n := j.beyond(results.FalseTimeouts, 0)
	return finding{size: n, short: digits(n),
		say: fmt.Sprintf("timed out %s that alone would have ended within %s", plural(n, "call"), setting(j.Timeout))}
}

func failed(j judged) finding {
	n := j.beyond(results.Failed, 0)
	return finding{size: n, short: digits(n),
		say: fmt.Sprintf("failed %s of %s with no timeout", digits(n), plural(orZero(j.Row, results.Requests), "request"))}
}

func refused(j judged) finding {
	n := j.beyond(results.Refused, 0)
	return finding{size: n, short: digits(n),
		say: fmt.Sprintf("drove the lab to refuse %s of %s, to protect itself", digits(n), plural(orZero(j.Row, results.Requests), "request"))}
}

func straggle(j judged) finding {
	at := orZero(j.Row, results.StraggleP99)
	more := ""
	if n := orZero(j.Row, results.GoroutinesAnswered); j.beyond(results.GoroutinesAnswered, max(chanceCount, orZero(j.floor, results.GoroutinesAnswered))) > 0 {
		more = fmt.Sprintf("; %s more than before were there at the last answer%s", plural(n, "goroutine"), j.bracketed(results.GoroutinesAnswered, digits))
	}
	return finding{size: j.beyond(results.StraggleP99, chanceMillis), short: millis(at),
		say: fmt.Sprintf("worked on for %s after its answer (p99%s)%s", millis(at), j.beside(results.StraggleP99, "; ", millis), more)}
}

func overshoot(j judged) finding {
	at := orZero(j.Row, results.OvershootP99)
	return finding{size: j.beyond(results.OvershootP99, chanceMillis), short: millis(at),
		say: fmt.Sprintf("answered %s after the timeout (p99%s)", millis(at), j.beside(results.OvershootP99, "; ", millis))}
}

func probeTime(j judged) finding {
	const chance = 4 * chanceMillis // of few calls
	at, size := orZero(j.Row, results.ProbeP99), j.beyond(results.ProbeP99, max(chance, orZero(j.floor, results.ProbeP99)))
	if j.RoundTrip != nil {
		size = 0 // a network slows clean calls too
	}
	return finding{size: size, short: millis(at),
		say: fmt.Sprintf("slowed what came after: clean calls took %s (p99%s)", millis(at), j.beside(results.ProbeP99, "; ", millis))}
}

func timeWait(j judged) finding {
	n := orZero(j.Row, results.TimeWait)
	return finding{size: j.beyond(results.TimeWait, chanceSockets), short: digits(n),
		say: fmt.Sprintf("left %s in TIME-WAIT%s", plural(n, "socket"), j.bracketed(results.TimeWait, digits))}
}

func dialled(j judged) finding {
	n, ideal := orZero(j.Row, results.ConnectionsOpened), orZero(j.Row, results.ConnectionsIdeal)
	size := n - 2*ideal - chanceSockets
	if j.Figures[results.ConnectionsIdeal] == nil {
		size = 0
	}
	return finding{size: size, short: digits(n),
		say: fmt.Sprintf("dialled %s where %s would do", plural(n, "connection"), digits(ideal))}
}
