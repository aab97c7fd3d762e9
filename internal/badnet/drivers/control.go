package drivers

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/probe"
)

// control is the address at which a Loopback takes changes. An abstract socket belongs
// to a network namespace (unix(7)), so only programs on the Loopback reach it.
const control = "@gotimeout/loopback"

// answerTime bounds a change. It is long, for a machine that is busy.
const answerTime = time.Minute

// request is a change that was asked for, and answer what became of it. The profiles are
// their texts: that of a trace has the file's name, which Parse refuses.
type (
	request struct {
		Profile string `json:"profile"`
	}
	answer struct {
		Before string `json:"before"`
		Error  string `json:"error,omitempty"`
	}
)

// OnLoopback tells whether this process is on a Loopback, its own or another process's.
func OnLoopback() bool {
	conn, err := net.DialTimeout("unix", control, answerTime)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// Change makes the Loopback that this process is on as bad as another profile says, for
// every program on it and for open connections too, and returns the profile before, which
// another Change takes also where it has a trace. After an error the network is unchanged.
func Change(profile string) (before string, err error) {
	conn, err := net.DialTimeout("unix", control, answerTime)
	if err != nil {
		return before, fmt.Errorf("there is no private loopback to change: %w", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(answerTime))
	if err := json.NewEncoder(conn).Encode(request{profile}); err != nil {
		return before, err
	}
	var a answer
	if err := json.NewDecoder(conn).Decode(&a); err != nil {
		return before, fmt.Errorf("the loopback did not answer: %w", err)
	}
	if a.Error != "" {
		return before, errors.New(a.Error)
	}
	return a.Before, nil
}

// serve makes the changes that the programs on the Loopback ask for, until Close.
func (l *Loopback) serve() {
	for {
		conn, err := probe.Accept(l.control)
		if err != nil {
			return
		}
		l.served.Go(func() { l.serveOne(conn) })
	}
}

func (l *Loopback) serveOne(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(answerTime))
	var r request
	if json.NewDecoder(conn).Decode(&r) != nil {
		return // OnLoopback only looks
	}
	var a answer
	before, err := l.changeTo(r.Profile)
	if a.Before = before.String(); err != nil {
		a.Error = err.Error()
	}
	_ = json.NewEncoder(conn).Encode(a)
}

// changeTo applies the profile with that text: the one of the start, which may have a trace,
// or one that Parse knows. No program makes this process read a file.
func (l *Loopback) changeTo(text string) (before badnet.Profile, err error) {
	p := l.Profile
	if text != p.String() {
		if p, err = badnet.Parse(text); err != nil {
			return before, err
		}
	}
	return l.change(p)
}
