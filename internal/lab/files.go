package lab

import (
	"fmt"
	"math"
	"os"
)

// Descriptors beside those of the connections of clients, of the runs and of the pools.
const (
	filesFree    = 8 // for the listing of sockets, lookups of names, kills of queries and connections that are refused
	filesOfQueue = 8 // the files of its server, and the connections to it
	filesOfWatch = 3 // a connection through a relay
)

// fewFiles is the least number of descriptors for clients and runs.
const fewFiles = 6

// pool bounds the idle connections of a client, of which each needs so many descriptors.
type pool struct {
	setMaxIdle func(int)
	files      int
}

// boundFiles derives the bounds of the connections and of the runs from the limit of file descriptors,
// after all else is open. Of the rest a third is for the clients' connections, a third for the calls
// of the runs and the dials that outlive them, and a third for the connections that the ops' pools keep for a
// second after a call. Where that is not one for each pool, the pools keep none.
//
// A limit that allows less than --max-in-flight lowers what is in flight, and the log says so, as Redis and MySQL do
// (maxclients, max_connections). An error would stop each lab on a machine with the usual limit of 1024.
func (l *Lab) boundFiles() error {
	l.boundLooks(math.MaxInt)
	limit, err := filesLimit()
	if err != nil || limit == 0 {
		return err
	}
	next, err := os.Open(os.DevNull)
	if err != nil {
		return fmt.Errorf("the open files can't be counted: %w", err)
	}
	used := int(next.Fd()) + filesFree + filesOfQueue + l.held // the lowest number that was free, and nothing has closed any
	next.Close()
	free := limit - used
	free -= l.boundLooks(free / 4)
	if free < fewFiles {
		return fmt.Errorf("this process may have %d files open (ulimit -n), and the lab itself needs %d: allow %d or more", limit, limit-free, limit-free+fewFiles)
	}
	share, most := l.boundPools(free), l.Ledger.Limits().InFlight
	l.MaxConnections = share
	l.Ledger.BoundDescriptors(share)
	if share < 2*most {
		l.Log.Warn("file descriptors bound the lab before --max-in-flight does: raise ulimit -n or LimitNOFILE=",
			"limit", limit, "for_connections", share, "for_runs", share, "of_one_call", 2, "max_in_flight", most)
	}
	return nil
}

// boundLooks bounds how many backends are looked at at once by the free descriptors, and returns how many that takes.
func (l *Lab) boundLooks(free int) int {
	each := 1
	for _, b := range l.backends {
		each = max(each, b.files())
	}
	looks := max(1, min(len(l.backends), free/each))
	l.looking = make(chan struct{}, looks)
	return looks * each
}

// boundPools returns how many of the free descriptors are for connections, and as many for runs.
func (l *Lab) boundPools(free int) int {
	each := 0
	for _, p := range l.pools {
		each += p.files
	}
	idle, most := free/3/max(1, each), l.Ledger.Limits()
	if idle >= most.InFlight+most.Abandoned {
		return free / 3
	}
	for _, p := range l.pools {
		p.setMaxIdle(idle)
	}
	if idle == 0 {
		return free / 2
	}
	return free / 3
}

// files returns how many descriptors of this process a call of the backend needs: the client's, with a stand-in
// the server's too, and through a proxy or a relay two more.
func (b *backend) files() int {
	n := 1
	if b.embedded != nil {
		n++
	}
	if b.via != "" {
		n += 2
	}
	return n
}
