// Package backends holds what the lab's stand-ins share: a stand-in is a slow server inside this process, on a free port of
// 127.0.0.1, that takes the place of a real backend, so that a lab needs nothing installed. It can also be asked for what a real
// one hides: when it stopped working on a request.
//
// Each op has its stand-in in a folder of the op's name, as a package of that name with "backend" behind it: http
// (go-httpbin, and the HTTP servers with one fault each), cache (memcached's text protocol), db (MySQL's protocol, and
// the look into a real server's process list) and grpc (a grpc-go server, and the proxies in front of it). Each starts with a function Start(Options) (*Server, error).
//
// Work carries the tag of its run, in the protocol's own way: a header, metadata, a part of a key, a comment in SQL. [Options].Began and
// Ended are called for tagged work; [Server.Working] lists all of it.
//
// What a stand-in refuses: to be reached from outside the machine, to check passwords, and to store data worth keeping. It
// refuses delays over [Options].MaxDelay. It logs nothing.
package backends
