package timewait

// promise is what a way to call a server is to leave behind. Its bounds leave
// room for what chance and a busy machine change.
type promise struct {
	text string
	kept func(spent) bool // nil: it depends on whether calls were cut
}

var (
	byCalls = promise{}
	waits   = promise{"a connection for each request, each ends in a TIME-WAIT", func(s spent) bool {
		return s.opened == s.requests && s.timeWaits() >= s.opened
	}}
	churns = promise{"more than twice the ideal; all but the ideal in TIME-WAIT at the client", func(s spent) bool {
		return s.opened > 2*s.workers && s.atClient >= s.opened-s.workers
	}}
	resets = promise{"a connection for each request; more RSTs than TIME-WAITs", func(s spent) bool {
		return s.opened == s.requests && s.resets > s.timeWaits()
	}}
	reused = promise{"at most two for each call that was at work at once; no TIME-WAIT, no RST", func(s spent) bool {
		return s.opened <= 2*s.most && s.timeWaits()+s.resets == 0
	}}
	cut = promise{"one for most of the calls that were cut; more RSTs than TIME-WAITs", func(s spent) bool {
		return s.opened >= s.cut/2 && s.resets > s.timeWaits()
	}}
)

// spent is what a way cost.
type spent struct {
	load
	opened, atClient, atServer, resets int
	cut, most                          int // calls that ended with an error, and that were at work at once
}

func (s spent) timeWaits() int { return s.atClient + s.atServer }
