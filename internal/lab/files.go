package lab

import (
	"fmt"
	"os"
)

// filesFree is how many descriptors stay free beside those of the connections and the runs: for the socket
// listing, lookups of names, kills of queries and the pipes of a process.
const filesFree = 8

// fewFiles is the least number of descriptors for clients and runs.
const fewFiles = 6

// boundFiles derives the bounds of the connections and of the runs from the limit of file descriptors,
// after all else is open. Of the rest a third is for the clients' connections, a third for the calls
// of the runs, and a third for the connections that the ops' pools keep for a second after a call.
//
// A limit that allows less than --max-in-flight lowers what is in flight, and the log says so, as Redis and MySQL do
// (maxclients, max_connections). An error would stop each lab on a machine with the usual limit of 1024.
func (l *Lab) boundFiles() error {
	limit, err := filesLimit()
	if err != nil || limit == 0 {
		return err
	}
	next, err := os.Open(os.DevNull)
	if err != nil {
		return fmt.Errorf("the open files can't be counted: %w", err)
	}
	used := int(next.Fd()) // the lowest number that was free, and nothing has closed any
	next.Close()
	free := limit - used - filesFree
	if free < fewFiles {
		return fmt.Errorf("this process may have %d files open (ulimit -n), and the lab itself has %d: allow %d or more", limit, used, used+filesFree+fewFiles)
	}
	third := free / 3
	l.MaxConnections = third
	l.Ledger.BoundDescriptors(third)
	if most := l.Ledger.Limits().InFlight; third < 2*most {
		l.Log.Warn("file descriptors bound the lab before --max-in-flight does: raise ulimit -n or LimitNOFILE=",
			"limit", limit, "for_connections", third, "for_runs", third, "of_one_call", 2, "max_in_flight", most)
	}
	return nil
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
