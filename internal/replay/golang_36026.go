package replay

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

func http2Dead() Experiment {
	return Experiment{
		ID: "golang-36026", Title: "HTTP/2 keeps a connection that is dead, and each request times out on it",
		Issues:   []string{"https://go.dev/issue/36026", "https://go.dev/issue/59690"},
		Reported: "When packets of an HTTP/2 connection are lost for good, its requests time out, and the transport gives new requests the same connection: for about 15 minutes, until TCP gives up. The server is there all the time.",
		Does:     "The network falls silent for the connection that is open, and not for new ones. Then four requests of 2 s each are made.",
		Remedy:   "Let the transport ping: HTTP2Config's SendPingTimeout and PingTimeout, 0.5 s each here.",
		run:      replayHTTP2Dead,
	}
}

func replayHTTP2Dead(ctx context.Context, remedy bool) (o Outcome, err error) {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server, err := serve(&http.Server{Protocols: &protocols}, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	if err != nil {
		return o, err
	}
	n := &network{to: server[len("http://"):]}
	addr, err := n.listen()
	if err != nil {
		return o, err
	}
	transport := &http.Transport{Protocols: &protocols}
	if remedy {
		transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: 500 * time.Millisecond, PingTimeout: 500 * time.Millisecond}
	}
	client := &http.Client{Transport: transport}
	if _, _, err := get(ctx, client, "http://"+addr); err != nil {
		return o, err
	}
	n.silence()
	const requests = 4
	failed, first := 0, error(nil)
	for range requests {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		if _, _, err := get(ctx, client, "http://"+addr); err != nil {
			failed, first = failed+1, cmp.Or(first, err)
		}
		cancel()
	}
	return Outcome{
		Saw:        fmt.Sprintf("%d of %d requests failed, the first with: %s.", failed, requests, withoutAddresses(first)),
		Reproduced: failed == requests,
	}, nil
}

// network passes connections on to an address, until they fall silent.
type network struct {
	to string

	mu     sync.Mutex
	silent []chan struct{} // a channel of each connection, closed once that is silent
}

func (n *network) listen() (addr string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", n.to)
			if err != nil {
				conn.Close()
				continue
			}
			silent := make(chan struct{})
			n.mu.Lock()
			n.silent = append(n.silent, silent)
			n.mu.Unlock()
			go pass(conn, up, silent)
			go pass(up, conn, silent)
		}
	}()
	return l.Addr().String(), nil
}

// silence makes the connections that are open lose all further bytes.
func (n *network) silence() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, silent := range n.silent {
		close(silent)
	}
	n.silent = nil
}

func pass(to io.Writer, from io.Reader, silent <-chan struct{}) {
	for buf := make([]byte, 32<<10); ; {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		select {
		case <-silent: // lost
		default:
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}
