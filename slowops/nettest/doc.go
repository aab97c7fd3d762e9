// Package nettest runs the tests of a package on a bad network: loopback itself, in a
// private network of the test binary, without root. Clients, servers and addresses of the
// tests stay as they are, and both ends are the kernel's own TCP: a handshake takes its round
// trips, a lost packet is sent again, and UDP and the programs that a test starts are on the
// network too.
//
//	package own
//
//	import (
//		"net"
//		"os"
//		"testing"
//		"time"
//
//		"gotimeout/slowops/nettest"
//	)
//
//	func TestMain(m *testing.M) { os.Exit(nettest.Main(m, "3g")) }
//
//	func TestDial(t *testing.T) {
//		nettest.Set(t, "delay=100ms") // one way, for this test
//		l, err := net.Listen("tcp", "127.0.0.1:0")
//		if err != nil {
//			t.Fatal(err)
//		}
//		defer l.Close()
//		if _, err := net.DialTimeout("tcp", l.Addr().String(), 150*time.Millisecond); err == nil {
//			t.Error("a dial takes a round trip of 200 ms, and its timeout is 150 ms")
//		}
//	}
//
// # Profiles
//
// A profile is a preset, such as 3g, flaky-wifi or blackhole, or a list of keys: delay=100ms
// (one way), jitter=20ms,normal, loss=1%,burst=3, rate=1mbit, limit=100 (packets that wait for
// the rate), reorder=1%, duplicate=1%; up. and down. before a key give it to one direction,
// where up is towards the server. none is the network as it is. The command gotimeout network
// presets lists the presets. Losses and delays that are random are the same in every run for
// the same packets.
//
// # What the tests see
//
// The flags of go test, coverage, the race detector, standard streams, signals and exit
// statuses go through, and what the tests leave running ends with them. Inside there is
// nothing but 127.0.0.1 and ::1: servers elsewhere, names and a database of the machine cannot be
// reached, but for unix sockets that are files. A user who is not root has only one user there: root's
// files seem to be nobody's, which ssh refuses for its configuration. Root's tests can change
// neither the network nor the kernel's settings.
//
// The network belongs to the whole test binary: a test that calls [Set] must not run in
// parallel with another that uses the network. Each test binary has a network of its own, so
// that go test ./... runs packages at once as always.
//
// TestMain runs three times, in the process that go test starts, in the one that makes the
// network, and in the one that runs the tests, so [Main] comes first there. A debugger stops
// in the first process: start it on the network instead, where Main starts no process:
//
//	gotimeout network run 3g -- dlv test
//
// # Where there is no private network
//
// Private networks need Linux and user namespaces, or root. Elsewhere Main runs the tests on
// the network as it is, and tests that call Set or [Skip] are skipped with the reason. With
// NETTEST=require in the environment they fail.
//
// # Use it in your own module
//
// The module has no published version. Clone it beside your module, and run
// there:
//
//	go mod edit -require=gotimeout@v0.0.0 -replace=gotimeout=../goTimeout
//	go mod tidy
package nettest
