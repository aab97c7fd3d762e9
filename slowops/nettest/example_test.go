package nettest_test

import (
	"net"
	"os"
	"testing"
	"time"

	"gotimeout/slowops/nettest"
)

// All tests of a package are on 3G.
func ExampleMain() {
	_ = func(m *testing.M) { // func TestMain(m *testing.M)
		os.Exit(nettest.Main(m, "3g"))
	}
}

// One test has a worse network than the others.
func ExampleSet() {
	_ = func(t *testing.T) { // func TestDial(t *testing.T)
		nettest.Set(t, "delay=100ms loss=1%")
		if _, err := net.DialTimeout("tcp", "127.0.0.1:80", 150*time.Millisecond); err == nil {
			t.Error("a dial takes a round trip of 200 ms, and its timeout is 150 ms")
		}
	}
}

// A test means something on a bad network alone.
func ExampleSkip() {
	_ = func(t *testing.T) { // func TestRetries(t *testing.T)
		nettest.Skip(t)
	}
}
