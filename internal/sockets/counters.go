package sockets

// Counters are what the kernel has counted in this network since it began.
type Counters struct {
	Opened        uint64 `json:"opened"`          // connections, by a dial
	Accepted      uint64 `json:"accepted"`        // connections, by a listener
	Resets        uint64 `json:"resets"`          // RSTs sent
	ResetsSeen    uint64 `json:"resets_seen"`     // connections that an RST ended
	AbortOnData   uint64 `json:"abort_on_data"`   // RST, for data came after the close
	AbortOnClose  uint64 `json:"abort_on_close"`  // RST, for data was unread at the close
	TimeWaits     uint64 `json:"time_waits"`      // TIME-WAITs that ended, after their time
	TimeWaitReuse uint64 `json:"time_wait_reuse"` // TIME-WAITs taken for a new connection
}

// Sub returns what was counted since before.
func (c Counters) Sub(before Counters) Counters {
	return Counters{
		c.Opened - before.Opened, c.Accepted - before.Accepted, c.Resets - before.Resets, c.ResetsSeen - before.ResetsSeen,
		c.AbortOnData - before.AbortOnData, c.AbortOnClose - before.AbortOnClose,
		c.TimeWaits - before.TimeWaits, c.TimeWaitReuse - before.TimeWaitReuse,
	}
}
