package jobs

const Renewal = renewal

// CloseConn ends the connection of a queue, as the death of its process does.
func (q *Queue) CloseConn() { q.js.Conn().Close() }
