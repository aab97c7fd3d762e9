package proxy

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/Shopify/toxiproxy/v2/stream"
)

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
