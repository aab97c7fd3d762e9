package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/lab"
	"gotimeout/slowops"
	"gotimeout/strategies"

	"github.com/bradfitz/gomemcache/memcache"
)

// asFaultyLab makes the test binary a lab with planted faults.
const asFaultyLab = "GOTIMEOUT_TEST_AS_FAULTY_LAB"

// startFaulty starts that lab.
func startFaulty(ctx context.Context) (url string, stop func(), err error) {
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), asFaultyLab+"=1")
	process.SysProcAttr = apart()
	return startProcess(ctx, process)
}

// serveFaulty serves the lab with a strategy and an op for each kind of fault.
func serveFaulty() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	faulty, err := lab.Open(context.Background(), lab.Settings{
		MaxDelay: time.Minute, MaxTimeout: time.Minute, MaxInFlight: 2048, MaxAbandoned: 8192, Receipts: 10_000,
	}, log)
	if err != nil {
		panic(err)
	}
	faulty.Strategies = []strategies.Strategy{
		{Name: "baseline", Do: strategies.Baseline{}.Do},
		{Name: "context-cancel", Do: strategies.ContextCancel{}.Do},
		{Name: "leaky", Do: leaky},
		{Name: "tardy", Do: tardy},
		{Name: "io-timeout", Client: inTheClient, Do: strategies.IOTimeout{}.Do},
	}
	cache := faulty.Lab.Backends(context.Background())[1].Addr
	faulty.Ops = append(faulty.Ops, unclosed(cache), poisoned(cache))
	panic(faulty.Serve(context.Background(), listener))
}

func inTheClient(timeout time.Duration) strategies.ClientBounds {
	return strategies.ClientBounds{IO: timeout}
}

// leaky leaves a goroutine behind at every call.
func leaky(ctx context.Context, timeout time.Duration, ops ...strategies.Op) error {
	go func() { select {} }()
	return strategies.ContextCancel{}.Do(ctx, timeout, ops...)
}

// tardy answers 60 ms late.
func tardy(ctx context.Context, timeout time.Duration, ops ...strategies.Op) error {
	err := strategies.ContextCancel{}.Do(ctx, timeout, ops...)
	if err != nil {
		time.Sleep(60 * time.Millisecond)
	}
	return err
}

// unclosed is an op that dials a backend at every call, and never closes the connection.
func unclosed(addr string) handlers.Op {
	var mu sync.Mutex
	var forgotten []net.Conn
	return handlers.Op{Name: "unclosed", Parts: []handlers.Part{func(ctx context.Context, c slowops.Call) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		c.Dialed()
		mu.Lock()
		defer mu.Unlock()
		forgotten = append(forgotten, conn)
		return nil
	}}}
}

// patience is the time after which the poisoned op panics.
const patience = 150 * time.Millisecond

// poisoned is a cache op that panics out of gomemcache's read after patience, and
// recovers. gomemcache then keeps the connection, although the answer is still on its
// way.
func poisoned(addr string) handlers.Op {
	client := memcache.New(addr)
	client.MaxIdleConns, client.Timeout = 100, time.Minute
	client.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return panickyConn{conn}, err
	}
	return handlers.Op{Name: "poisoned", Parts: []handlers.Part{func(_ context.Context, c slowops.Call) (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("gave up: %v", v)
			}
		}()
		key := fmt.Sprintf("delay/%s/%s", c.Delay, c.Run)
		item, err := client.Get(key)
		if err == nil && item.Key != key {
			return anothers{item.Key}
		}
		return err
	}}}
}

// panickyConn panics when a read takes longer than patience.
type panickyConn struct{ net.Conn }

func (c panickyConn) Read(p []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	n, err := c.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		panic(err)
	}
	return n, err
}

// anothers is the error of an answer to another call's question.
type anothers struct{ key string }

func (a anothers) Error() string { return "the answer is to " + a.key }
func (anothers) Code() string    { return "wrong_answer" }
func (anothers) Timeout() bool   { return false }
