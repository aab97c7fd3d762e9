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
	passed atomic.Bool // its end has been passed on to the other end
}

// breaks resets an end.
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
	dry bool // drained: it takes no other network
}

func newLink(p *pair, n *network, direction stream.Direction, from, to *end) *link {
	return &link{
		pair: p, direction: direction, from: from, to: to, way: n.directions[direction],
		toxics: toxiproxy.NewToxicLink(n.home, n.home.Toxics, direction, zerolog.Nop()),
	}
}

func (l *link) start(n *network) {
	l.toxics.Start(n.api, "", source{l, l.from}, sink{l})
}

// change puts the link on another network. It blocks while the reader at the
// link's end reads nothing.
func (l *link) change(n *network) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dry || l.way.link == n.directions[l.direction].link {
		return
	}
	l.put(n.directions[l.direction])
}

// drain releases at once what the link holds, and what may follow.
func (l *link) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dry = true
	l.put(way{latency: noop(l.way.latency), rate: noop(l.way.rate)})
}

func (l *link) put(w way) {
	l.way = w
	// The rate is taken away first: a latency toxic can't be changed while it waits
	// for the rate to take a chunk.
	l.toxics.UpdateToxic(noop(w.rate))
	l.toxics.UpdateToxic(w.latency)
	l.toxics.UpdateToxic(w.rate)
}

// noop returns a toxic that does nothing, in the place of another.
func noop(w *toxics.ToxicWrapper) *toxics.ToxicWrapper {
	return &toxics.ToxicWrapper{Toxic: new(toxics.NoopToxic), Toxicity: 1, Direction: w.Direction, Index: w.Index}
}

// source is the reader that toxiproxy gets for a link.
type source struct {
	*link
	io.Reader // unused: io.Copy prefers WriteTo
}

const chunk = 32 << 10

// WriteTo ends with an empty chunk, so that the end of the stream waits behind the
// data and for the delay: without one toxiproxy passes the end on at once.
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

// sink is the writer that toxiproxy gets for a link.
type sink struct{ *link }

// Write never fails: after an error toxiproxy would stop reading and block the
// toxics before it. The other end learns of the failure through the link that
// reads this end, after that link's delay.
func (s sink) Write(b []byte) (int, error) {
	if s.to.broken.Load() {
		return len(b), nil
	}
	if _, err := s.to.TCPConn.Write(b); err != nil {
		s.to.breaks()
		if s.to.passed.Load() {
			s.pair.reset() // it was half closed, and now it is reset
		}
	}
	return len(b), nil
}

// Close passes the end of from on to the other end, as a close or a reset. Subtle:
// Close sets passed before it reads broken, and Write sets broken before it reads
// passed, so that one of the two sees the other's.
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

// pair is a client's connection, the connection to the backend, and the two links
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

// reset resets both connections if they are open, and drains the links.
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
	api        *toxiproxy.ApiServer
	home       *toxiproxy.Proxy // holds the toxics, and listens nowhere
	directions [stream.NumDirections]way
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
		w := &n.directions[direction]
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
	pieceTime  = 5 * time.Millisecond   // how long the link takes for one piece, where it is longer
	early      = time.Millisecond       // timers are so late (https://go.dev/issue/53824)
	late       = 100 * time.Millisecond // a busy machine may be so far behind, and catches up
)

// Pipe passes on one connection's chunks, each when the link has sent it.
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
	sent := time.NewTimer(time.Until(l.send(piece)) - early)
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

// send takes the link's next free time for a piece, not before the piece's own
// time, and returns when the piece has been sent. Free time longer ago than late
// is lost.
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
