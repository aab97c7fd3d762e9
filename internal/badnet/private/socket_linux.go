package private

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// message is what the two processes send each other, one in a packet.
type message struct {
	Ready   bool    `json:"ready,omitempty"`   // the inside has begun its work
	Refused string  `json:"refused,omitempty"` // why the inside gives up
	Dial    *Server `json:"dial,omitempty"`    // the inside wants a connection
	ID      uint64  `json:"id,omitempty"`      // of a Dial and of its answer
	Error   string  `json:"error,omitempty"`   // of a Dial that failed; otherwise a file comes with the answer
	Errno   uintptr `json:"errno,omitempty"`   // of that error, where it has one
	Signal  int     `json:"signal,omitempty"`  // sent to the outside
}

// socket carries messages and files, each message in a packet of its own.
type socket struct{ conn *net.UnixConn }

// pair returns one end as a socket, and the other as a file to hand over.
func pair() (socket, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return socket{}, nil, wrap("socketpair", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "inside")
	ours, err := open(os.NewFile(uintptr(fds[0]), "outside"))
	if err != nil {
		theirs.Close()
	}
	return ours, theirs, err
}

// open makes a socket of a file, which it closes.
func open(f *os.File) (socket, error) {
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return socket{}, err
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return socket{}, unix.ENOTSOCK
	}
	return socket{unixConn}, nil
}

func (s socket) close() { s.conn.Close() }

// send sends a message, and with it a file where there is one.
func (s socket) send(m message, file *os.File) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var rights []byte
	if file != nil {
		rights = unix.UnixRights(int(file.Fd()))
	}
	// The other end always reads, unless it was stopped (SIGSTOP).
	_ = s.conn.SetWriteDeadline(time.Now().Add(dialTimeout))
	_, _, err = s.conn.WriteMsgUnix(text, rights, nil)
	return err
}

// receive returns the next message and the file that came with it, if any.
func (s socket) receive() (m message, file *os.File, err error) {
	text, rights := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4))
	n, rn, _, _, err := s.conn.ReadMsgUnix(text, rights)
	if err != nil {
		return m, nil, err
	}
	if controls, err := unix.ParseSocketControlMessage(rights[:rn]); err == nil && len(controls) > 0 {
		if fds, err := unix.ParseUnixRights(&controls[0]); err == nil {
			unix.CloseOnExec(fds[0])
			file = os.NewFile(uintptr(fds[0]), "carried")
		}
	}
	return m, file, json.Unmarshal(text[:n], &m)
}

// dialTimeout bounds a dial outside; the process inside has a shorter bound.
const dialTimeout = 30 * time.Second

// answer answers the inside's messages until it closes its end. It returns why the
// inside gave up, or "".
func (s socket) answer(o Outside, ready func()) (refused string) {
	ctx, cancel := context.WithCancel(context.Background())
	var dials sync.WaitGroup
	defer dials.Wait()
	defer cancel()
	for {
		m, _, err := s.receive()
		switch {
		case err != nil:
			return refused
		case m.Refused != "":
			refused = m.Refused
		case m.Ready:
			ready()
		case m.Dial != nil && (o.Anywhere || slices.Contains(o.Servers, *m.Dial)):
			dials.Go(func() { s.dial(ctx, m.ID, *m.Dial) })
		case m.Dial != nil:
			_ = s.send(message{ID: m.ID, Error: "not one of the servers that were named"}, nil)
		}
	}
}

// dial connects to a server for the inside, and hands the connection over.
func (s socket) dial(ctx context.Context, id uint64, to Server) {
	file, err := to.dial(ctx)
	if err != nil {
		var errno unix.Errno
		errors.As(err, &errno)
		_ = s.send(message{ID: id, Error: err.Error(), Errno: uintptr(errno)}, nil)
		return
	}
	defer file.Close()
	_ = s.send(message{ID: id}, file) // fails only when the inside has ended
}

// dial connects to the server, for a file.
func (to Server) dial(ctx context.Context) (*os.File, error) {
	if to.Network == Ping {
		return ping(to.Addr)
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, to.Network, to.Addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(interface{ File() (*os.File, error) }).File()
}

// ping returns a socket for ICMP echoes to an address.
func ping(addr string) (*os.File, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, fmt.Errorf("ping %s: %w", addr, unix.EAFNOSUPPORT)
	}
	family, proto, to := unix.AF_INET6, unix.IPPROTO_ICMPV6, unix.Sockaddr(&unix.SockaddrInet6{Addr: ip.As16()})
	if ip.Is4() {
		family, proto, to = unix.AF_INET, unix.IPPROTO_ICMP, &unix.SockaddrInet4{Addr: ip.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		return nil, wrap("ping", err)
	}
	if err := unix.Connect(fd, to); err != nil {
		unix.Close(fd)
		return nil, wrap("ping "+addr, err)
	}
	return os.NewFile(uintptr(fd), "ping"), nil
}
