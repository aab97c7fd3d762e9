package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"gotimeout/internal/badnet"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"
)

// end is one of the two connections of a pair.
type end struct {
	*net.TCPConn
	broken atomic.Bool // it was reset, and not closed
	passed atomic.Bool // that it has ended is known at the other end
}

// breaks closes an end that can't be written to.
func (e *end) breaks() {
	e.broken.Store(true)
	_ = e.SetLinger(0)
	_ = e.Close()
}

// link carries what one end reads to the other, over the toxics.
type link struct {
	pair      *pair
	direction stream.Direction
	from, to  *end
	toxics    *toxiproxy.ToxicLink

	mu  sync.Mutex
	way way
	dry bool // what it still holds is of no use
}

func newLink(p *pair, n *network, direction stream.Direction, from, to *end) *link {
	return &link{
		pair: p, direction: direction, from: from, to: to, way: n.ways[direction],
		toxics: toxiproxy.NewToxicLink(n.home, n.home.Toxics, direction, zerolog.Nop()),
	}
}

func (l *link) start(n *network) {
	l.toxics.Start(n.api, "", source{l, l.from}, sink{l})
}

// change puts the link on another network. It blocks for as long as the reader
// at its end takes nothing.
func (l *link) change(n *network) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dry || l.way.link == n.ways[l.direction].link {
		return
	}
	l.put(n.ways[l.direction])
}

// drain lets all out at once that the link holds, and whatever may follow.
func (l *link) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dry = true
	l.put(way{latency: noop(l.way.latency), rate: noop(l.way.rate)})
}

func (l *link) put(w way) {
	l.way = w
	// First no rate at all: a latency that waits until the rate takes a chunk
	// can't be changed.
	l.toxics.UpdateToxic(noop(w.rate))
	l.toxics.UpdateToxic(w.latency)
	l.toxics.UpdateToxic(w.rate)
}

// noop returns a toxic that does nothing, in the place of another.
func noop(w *toxics.ToxicWrapper) *toxics.ToxicWrapper {
	return &toxics.ToxicWrapper{Toxic: new(toxics.NoopToxic), Toxicity: 1, Direction: w.Direction, Index: w.Index}
}

// source is where toxiproxy reads for a link.
type source struct {
	*link
	io.Reader // unused: io.Copy prefers WriteTo
}

const chunk = 32 << 10

// WriteTo ends with an empty chunk, which makes the end wait behind the data
// and for the delay: without one toxiproxy passes it on at once.
func (s source) WriteTo(w io.Writer) (sum int64, err error) {
	for buf := make([]byte, chunk); ; {
		n, err := s.from.Read(buf)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				s.from.broken.Store(true)
			}
			_, _ = w.Write(nil)
			return sum, nil
		}
		_, _ = w.Write(buf[:n]) // to a channel
		sum += int64(n)
	}
}

// sink is where toxiproxy writes for a link.
type sink struct{ *link }

// Write never fails: toxiproxy would stop to take what comes, and leave blocked
// whatever brings it. The other end learns of it from the link that reads this
// one, after that link's delay.
func (s sink) Write(b []byte) (int, error) {
	if s.to.broken.Load() {
		return len(b), nil
	}
	if _, err := s.to.TCPConn.Write(b); err != nil {
		s.to.breaks()
		if s.to.passed.Load() {
			s.pair.reset() // it had half closed, and now it has gone
		}
	}
	return len(b), nil
}

// Close passes on that the other end has ended, and how. It writes passed and
// then reads broken, and Write the other way round: one sees the other.
func (s sink) Close() error {
	s.from.passed.Store(true)
	if s.from.broken.Load() {
		s.pair.reset()
	} else {
		_ = s.to.CloseWrite()
	}
	s.pair.ended()
	return nil
}

// pair is a client's connection, the one to the backend for it, and the links
// between them.
type pair struct {
	front          *front
	client, server *end
	up, down       *link
	links          atomic.Int32 // that have not ended
	resets         sync.Once
}

func newPair(f *front, client, server *net.TCPConn) *pair {
	p := &pair{front: f, client: &end{TCPConn: client}, server: &end{TCPConn: server}}
	p.up = newLink(p, f.network, stream.Upstream, p.client, p.server)
	p.down = newLink(p, f.network, stream.Downstream, p.server, p.client)
	p.links.Store(2)
	return p
}

func (p *pair) change(n *network) {
	p.up.change(n)
	p.down.change(n)
}

// reset resets both connections, if they are still open, and lets go of what is
// under way between them.
func (p *pair) reset() {
	p.resets.Do(func() {
		p.client.breaks()
		p.server.breaks()
		go p.up.drain()
		go p.down.drain()
	})
}

// ended is called at the end of each link.
func (p *pair) ended() {
	if p.links.Add(-1) == 0 {
		_ = p.client.Close()
		_ = p.server.Close()
		p.front.forget(p)
	}
}

// network is a profile as toxics, for all connections of one front. It never
// changes: toxiproxy's UpdateToxicJson would write to toxics that are in use.
type network struct {
	api  *toxiproxy.ApiServer
	home *toxiproxy.Proxy // holds the toxics, and listens nowhere
	ways [stream.NumDirections]way
}

// way is one direction: the delay first and the rate behind it, since the other
// way round toxiproxy would count the time in the rate's queue as delay.
type way struct {
	link          badnet.Link
	latency, rate *toxics.ToxicWrapper
}

func newNetwork(p badnet.Profile) (*network, error) {
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	n := &network{api: api, home: toxiproxy.NewProxy(api, "", "", "")}
	for direction, l := range []badnet.Link{stream.Upstream: p.Up, stream.Downstream: p.Down} {
		w := &n.ways[direction]
		w.link = l
		var err error
		if w.latency, err = n.add(direction, "latency", &toxics.LatencyToxic{
			Latency: l.Delay.Milliseconds(), Jitter: l.Jitter.Milliseconds(),
		}); err != nil {
			return nil, err
		}
		if w.rate, err = n.add(direction, "noop", new(toxics.NoopToxic)); err != nil {
			return nil, err
		}
		if l.Rate > 0 {
			w.rate.Toxic = &limiter{rate: l.Rate} // no connection has it yet
		}
	}
	return n, nil
}

// add adds a toxic to all links of a direction that will be made. JSON is the
// only way that toxiproxy has for it.
func (n *network) add(direction int, kind string, toxic toxics.Toxic) (*toxics.ToxicWrapper, error) {
	text, err := json.Marshal(toxics.ToxicWrapper{
		Toxic: toxic, Type: kind, Stream: stream.Direction(direction).String(), Toxicity: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("toxiproxy's %s toxic: %w", kind, err)
	}
	added, err := n.home.Toxics.AddToxicJson(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("toxiproxy's %s toxic: %w", kind, err)
	}
	return added, nil
}

// limiter is a toxic that shares the rate of a link among all its connections,
// each of which sends one piece in turn. toxiproxy's own bandwidth toxic gives
// each connection the whole rate.
type limiter struct {
	rate int64 // bit/s

	mu   sync.Mutex
	free time.Time // when the link has sent all pieces so far
}

const (
	leastPiece = 256                    // bytes
	pieceTime  = 5 * time.Millisecond   // for as long the link sends one piece
	late       = 100 * time.Millisecond // by so much a busy machine may be behind, and catches up
)

// Pipe passes one connection's chunks on, none before the link has sent it.
func (l *limiter) Pipe(stub *toxics.ToxicStub) {
	size := int(min(max(l.rate/8*int64(pieceTime)/int64(time.Second), leastPiece), chunk))
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			for len(c.Data) > size {
				if !l.pass(stub, &stream.StreamChunk{Data: c.Data[:size], Timestamp: c.Timestamp}, c) {
					return
				}
				c.Data = c.Data[size:]
			}
			if !l.pass(stub, c, c) {
				return
			}
		}
	}
}

// pass passes a piece of a chunk on when the link has sent it. Where the network
// changes meanwhile it passes the whole rest on at once and returns false.
func (l *limiter) pass(stub *toxics.ToxicStub, piece, rest *stream.StreamChunk) bool {
	sent := time.NewTimer(time.Until(l.send(piece)))
	defer sent.Stop()
	select {
	case <-sent.C:
		stub.Output <- piece
		return true
	case <-stub.Interrupt:
		_ = stub.WriteOutput(rest, stuck) // or the pair is reset by then
		return false
	}
}

// send returns when the link has sent a piece that it can send from the piece's
// time on. What is long past is no time in which the link could have sent.
func (l *limiter) send(piece *stream.StreamChunk) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := piece.Timestamp
	if earliest := time.Now().Add(-late); from.Before(earliest) {
		from = earliest
	}
	if l.free.Before(from) {
		l.free = from
	}
	l.free = l.free.Add(time.Duration(float64(len(piece.Data)) * 8 / float64(l.rate) * float64(time.Second)))
	return l.free
}
