package httpbackend

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"gotimeout/internal/backends"
)

// Targets are HTTP servers with a fault each, for the timeouts of a call's
// phases. A GET of /delay/{duration} takes that long where the fault isn't
// that it takes for ever.
type Targets struct {
	// URLs has the base of each by its name.
	URLs map[string]string
	// Roots is whom those with TLS are trusted by.
	Roots *x509.CertPool

	servers []*backends.Server
	closes  []func()
}

// The pace of the targets.
const (
	dripEvery = 20 * time.Millisecond // between two bytes of drip, and of slow-headers
	slowTLS   = 5 * time.Second       // until slow-tls shakes hands
)

// half is the body that some targets give half of.
const half = "half of the body"

// answers are what the targets that read a request do with it over HTTP/1.1.
// The connection is closed when they return.
var answers = map[string]func(*exchange){
	"ok":           (*exchange).ok,
	"silent":       (*exchange).wait,
	"slow-headers": (*exchange).slowHeaders,
	"drip":         (*exchange).drip,
	"stall":        (*exchange).stall,
	"reset":        (*exchange).reset,
	"half-close":   (*exchange).halfClose,
}

// StartTargets starts them. refused and, where the system has it, blackhole
// are addresses that no server answers at; those that end in -h2 speak HTTP/2
// over TLS.
func StartTargets(o backends.Options) (t *Targets, err error) {
	t = &Targets{URLs: map[string]string{}}
	defer func() {
		if err != nil {
			_ = t.Close()
		}
	}()
	for name, answer := range answers {
		if err := t.serve("http", name, o, func(s *backends.Server) { s.ServeEach(func(c net.Conn) { converse(s, name, o, c, answer) }) }); err != nil {
			return nil, err
		}
	}
	if err := t.startTLS(o); err != nil {
		return nil, err
	}
	if err := t.refuse(); err != nil {
		return nil, err
	}
	hole, closeHole, err := blackhole()
	if err != nil {
		return nil, fmt.Errorf("start target blackhole: %w", err)
	}
	if hole != "" {
		t.URLs["blackhole"] = "http://" + hole
		t.closes = append(t.closes, closeHole)
	}
	return t, nil
}

// serve starts one, whose connections serve accepts until it is closed.
func (t *Targets) serve(scheme, name string, o backends.Options, serve func(*backends.Server)) error {
	s, err := backends.Listen("target "+name, o)
	if err != nil {
		return err
	}
	t.servers = append(t.servers, s)
	t.URLs[name] = scheme + "://" + s.Addr
	serve(s)
	return nil
}

func (t *Targets) startTLS(o backends.Options) error {
	certificate, roots, err := selfSigned()
	if err != nil {
		return fmt.Errorf("start targets: %w", err)
	}
	t.Roots = roots
	plain := &tls.Config{Certificates: []tls.Certificate{certificate}}
	err = t.serve("https", "slow-tls", o, func(s *backends.Server) {
		s.ServeEach(func(c net.Conn) {
			first := backends.NewClient(c)
			if first.Stay(s.Context(), time.Now().Add(min(slowTLS, o.MaxDelay))) == nil {
				converse(s, "slow-tls", o, tls.Server(first, plain), (*exchange).ok)
			}
		})
	})
	for name, answer := range answersH2 {
		if err == nil {
			err = t.serve("https", name, o, func(s *backends.Server) { serveH2(s, plain, name, o, answer) })
		}
	}
	return err
}

// refuse takes a port where nobody listens, and nobody will: the near end of a
// connection has it. One that was closed might be given to the next who asks
// for any.
func (t *Targets) refuse() error {
	held, err := net.Dial("tcp", t.servers[0].Addr)
	if err != nil {
		return fmt.Errorf("start target refused: %w", err)
	}
	t.closes = append(t.closes, func() { _ = held.Close() })
	t.URLs["refused"] = "http://" + held.LocalAddr().String()
	return nil
}

// TLS tells whether the target of that name speaks TLS.
func (t *Targets) TLS(name string) bool {
	_, h2 := answersH2[name]
	return h2 || name == "slow-tls"
}

// Working returns what the targets are working on.
func (t *Targets) Working() (jobs []backends.Job) {
	for _, s := range t.servers {
		jobs = append(jobs, s.Working()...)
	}
	return jobs
}

// Close closes them all and returns when nothing of them goes on.
func (t *Targets) Close() (err error) {
	for _, end := range t.closes {
		end()
	}
	for _, s := range t.servers {
		if e := s.Close(); e != nil {
			err = e
		}
	}
	return err
}
