// Package backends starts slow servers inside this process, on free ports of 127.0.0.1, for a lab about timeouts: an HTTP
// server (go-httpbin), a cache (the memcached text protocol) and a database (the MySQL protocol). A lab needs nothing
// installed, and it can ask these servers what a real one hides: when the backend stopped working on a request.
//
// Work carries the tag of its run: the header "Gotimeout-Run: ID" over HTTP, the last segment of the key
// "delay/300ms/ID" in the cache, the comment "/* gotimeout run=ID */" in SQL. [Options].Began and Ended are called for
// tagged work, [Server.Working] lists all of it. Where a real MySQL or MariaDB takes the database's place, [ProcessList]
// finds out when a run's query has left its process list.
//
// The servers fail as the real ones do, since that is what the lab is about. The HTTP server's /delay and the cache stop
// when their client leaves; /deaf/delay and BENCHMARK never notice; SLEEP notices at its next look, 5 s apart.
//
// [StartTargets] starts HTTP servers beside them that have one fault each, from an address where nobody listens to a body of
// which only half comes, for the timeouts of a call's phases.
//
// What the package refuses: to be reached from outside the machine, to check passwords, to store data worth keeping, and
// to be a database. It knows the handful of statements that the lab sends and says so when it gets another one. Delays over
// [Options].MaxDelay are refused in each protocol's own way. It logs nothing.
package backends
