package live

import (
	"context"
	"io"
	"net"
	"strconv"
	"sync"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/drivers"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/badnet/probe"
)

// packets attaches backends to the loopback of a private network.
type packets struct {
	process *private.Process
	name    string // of the driver
	driver  badnet.Driver
	echo    *probe.Echo
	apart   []uint16          // ports of the echo that have a queue of their own
	ports   map[string]uint16 // of the backends
	relays  []*relay
}

func newPackets(p *private.Process, name string, d badnet.Driver) (*packets, error) {
	e, err := probe.NewEcho(probe.Lanes)
	return &packets{process: p, name: name, driver: d, echo: e, ports: map[string]uint16{}}, err
}

func (p *packets) attach(name, network, addr string, outside bool) (string, error) {
	dial := addr
	if outside {
		var err error
		if dial, err = p.relayTo(network, addr); err != nil {
			return "", err
		}
	}
	port, err := portOf(dial)
	p.ports[name] = port
	if !outside {
		dial = ""
	}
	return dial, err
}

func (p *packets) relayTo(network, addr string) (string, error) {
	r, err := newRelay(p.process, network, addr)
	if err != nil {
		return "", err
	}
	p.relays = append(p.relays, r)
	return r.addr(), nil
}

func (p *packets) apply(probes badnet.Profile, backends map[string]badnet.Profile) (err error) {
	p.apart, err = drivers.Apart(p.echo.Ports, 1, func(apart []uint16) error {
		plan := badnet.Plan{Ports: map[uint16]badnet.Profile{}}
		for _, port := range apart {
			plan.Ports[port] = probes
		}
		for name, profile := range backends {
			plan.Ports[p.ports[name]] = profile
		}
		return p.driver.Apply(plan)
	})
	return err
}

func (p *packets) way() probe.Way {
	return probe.Way{Driver: p.name, Addr: p.echo.Addr(), Apart: p.apart}
}

func (p *packets) close() error {
	for _, r := range p.relays {
		r.close()
	}
	p.echo.Close()
	return p.driver.Close()
}

func portOf(addr string) (uint16, error) {
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	return uint16(port), err
}

// relay is an address in the private network for a server outside: the process
// outside dials the server for each connection to the relay. The bad network lies
// in front of the relay.
//
// A dial to the relay succeeds before the server's: where the server is down, the
// connection is reset instead of refused.
type relay struct {
	process       *private.Process
	network, dest string
	listener      net.Listener
	cancel        context.CancelFunc
	done          sync.WaitGroup
}

func newRelay(p *private.Process, network, addr string) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &relay{process: p, network: network, dest: addr, listener: l, cancel: cancel}
	r.done.Go(func() { r.accept(ctx) })
	return r, nil
}

func (r *relay) addr() string { return r.listener.Addr().String() }

func (r *relay) close() {
	r.cancel()
	r.listener.Close()
	r.done.Wait()
}

func (r *relay) accept(ctx context.Context) {
	for {
		conn, err := probe.Accept(r.listener)
		if err != nil {
			return
		}
		r.done.Go(func() { r.join(ctx, conn) })
	}
}

// join joins a connection with one to the server until both directions have ended.
// Where one fails, both connections are reset, as without a relay.
func (r *relay) join(ctx context.Context, inside net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outside, err := r.process.Dial(ctx, r.network, r.dest)
	if err != nil {
		probe.Reset(inside)
		return
	}
	context.AfterFunc(ctx, func() { probe.Reset(inside); probe.Reset(outside) })
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{inside, outside}, {outside, inside}} {
		both.Go(func() {
			if _, err := io.Copy(way[1], way[0]); err != nil {
				cancel()
				return
			}
			if half, ok := way[1].(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite() // the other direction may go on
			}
		})
	}
	both.Wait()
	inside.Close()
	outside.Close()
}
