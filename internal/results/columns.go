package results

// The columns: the places of their figures.
const (
	Requests = iota
	AnsweredP50
	AnsweredP99
	AnsweredMax
	OvershootP50
	OvershootP99
	OvershootMax
	Completed
	TimedOut
	Failed
	Refused
	FalseTimeouts
	Late
	StraggleP99
	WastePer1000
	RanOnPercent
	GoroutinesAnswered
	GoroutinesLeft
	DrainTime
	OpenReceipts
	ConnectionsOpened
	ConnectionsIdeal
	ConnectionsLeft
	RSTs
	TimeWait
	WrongAnswers
	ProbeFailures
	ProbeP50
	ProbeP99
	CPUPerRequest
	AllocatedPerRequest
	SentLateP99
	columnCount
)

// Column is a figure of a row.
type Column struct {
	Name  string // the name in JSON, CSV and conditions; it ends in the unit, if there is one
	Title string // the name in tables
	Unit  string // "" is a count
	Doc   string // one sentence
	Less  bool   // less is better; if not set, neither less nor more is better
}

var columns = [columnCount]Column{
	Requests:            {"requests", "requests", "", "Requests that were due during the load.", false},
	AnsweredP50:         {"answered_p50_ms", "answered p50", "ms", "Time from when a request was due to its answer, whatever the answer: median.", true},
	AnsweredP99:         {"answered_p99_ms", "answered p99", "ms", "Time from when a request was due to its answer, whatever the answer: 99th percentile.", true},
	AnsweredMax:         {"answered_max_ms", "answered max", "ms", "Time from when a request was due to its answer, whatever the answer: the longest.", true},
	OvershootP50:        {"overshoot_p50_ms", "overshoot p50", "ms", "Answered − timeout, of the requests that were answered after the timeout, whatever the answer: median. Of the floor, answered − delay.", true},
	OvershootP99:        {"overshoot_p99_ms", "overshoot p99", "ms", "Answered − timeout, of the requests that were answered after the timeout, whatever the answer: 99th percentile. Of the floor, answered − delay.", true},
	OvershootMax:        {"overshoot_max_ms", "overshoot max", "ms", "Answered − timeout, of the requests that were answered after the timeout, whatever the answer: the longest. Of the floor, answered − delay.", true},
	Completed:           {"completed", "completed", "", "Requests that were answered with the op's result, in time or late.", false},
	TimedOut:            {"timed_out", "timed out", "", "Requests that were answered with a timeout.", false},
	Failed:              {"failed", "failed", "", "Requests that failed for another reason, or had no answer.", true},
	Refused:             {"refused", "refused", "", "Requests that the lab did not run, to protect itself.", true},
	FalseTimeouts:       {"false_timeouts", "false timeouts", "", "Requests that timed out though the same call alone takes less than the timeout.", true},
	Late:                {"late", "late", "", "Requests that completed more than 5 ms after the timeout, by the lab's clock: the bound did not bind.", true},
	StraggleP99:         {"straggle_p99_ms", "straggle p99", "ms", "How long the op worked on in the lab after the answer: 99th percentile of all requests.", true},
	WastePer1000:        {"waste_s_per_1000", "waste", "s/1000", "Seconds that backends worked for nobody, after the answer, per 1,000 requests that were seen to reach a backend.", true},
	RanOnPercent:        {"ran_on_percent", "ran on", "%", "Of the requests that timed out and whose backend could be seen, the share whose backend worked on for more than 5 ms.", true},
	GoroutinesAnswered:  {"goroutines_answered", "goroutines at last answer", "", "How many goroutines more than before the load there were 20 ms after the last answer.", true},
	GoroutinesLeft:      {"goroutines_left", "goroutines left", "", "How many goroutines more than before the load there were when all work had ended and the idle connections were closed.", true},
	DrainTime:           {"drain_ms", "drain", "ms", "Time from the last answer until no work went on.", true},
	OpenReceipts:        {"open_receipts", "open", "", "Runs that still went on when the wait for them was over.", true},
	ConnectionsOpened:   {"connections_opened", "connections opened", "", "Connections dialed to the backends in the load and its warm-up.", true},
	ConnectionsIdeal:    {"connections_ideal", "connections ideal", "", "The most runs at once, in the load and its warm-up, that used a connection: so many connections would do if each were reused. Unknown for an op whose runs make several calls at once.", false},
	ConnectionsLeft:     {"connections_left", "connections left", "", "How many connections to the backends more than before the load there were when the idle ones were closed.", true},
	RSTs:                {"rsts", "RSTs", "", "Connections to the backends that ended by a reset, in the load and its warm-up.", true},
	TimeWait:            {"time_wait", "TIME_WAIT", "", "How many sockets in TIME-WAIT more than before there were when all work had ended, before the probe. tcp_tw_reuse decides how soon their ports are used again.", true},
	WrongAnswers:        {"wrong_answers", "wrong answers", "", "Calls of the load and of the probe that got the answer to another call's question.", true},
	ProbeFailures:       {"probe_failures", "probe failures", "", "Clean calls after the load that did not complete.", true},
	ProbeP50:            {"probe_p50_ms", "probe p50", "ms", "Time of a clean call after the load: median.", true},
	ProbeP99:            {"probe_p99_ms", "probe max", "ms", "Time of a clean call after the load: 99th percentile, which of fewer than 100 calls is the longest.", true},
	CPUPerRequest:       {"cpu_us_per_request", "CPU", "µs/request", "Processor time of the lab, embedded backends included, per request of the load.", true},
	AllocatedPerRequest: {"allocated_bytes_per_request", "allocated", "B/request", "Bytes allocated by the lab, embedded backends included, per request of the load.", true},
	SentLateP99:         {"sent_late_p99_ms", "sent late p99", "ms", "How much later than due requests were sent: the load generator's own delay, 99th percentile.", true},
}

// Columns returns the columns, in their order.
func Columns() []Column { return columns[:] }

// Figures has a figure for each column; nil is not known.
type Figures [columnCount]*float64

// Lookup returns the place of the named column.
func Lookup(name string) (place int, ok bool) {
	for i, c := range columns {
		if c.Name == name {
			return i, true
		}
	}
	return 0, false
}
