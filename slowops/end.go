package slowops

import (
	"net"
	"net/netip"
)

// How the end of a connection looked from here, at the close.
const (
	EndFIN  = "fin_by_us"   // this end says goodbye first; data that comes after that is answered by a RST
	EndPeer = "fin_by_peer" // the server had said goodbye before
	EndRST  = "rst"         // reset, by either end: for data was unread here, or the server has
	endNone = ""            // the system doesn't tell
)

// end tells how closing the connection is going to end it, and which it is.
func end(nc net.Conn) (how string, local, remote netip.AddrPort) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return endNone, local, remote
	}
	if a, ok := tcp.LocalAddr().(*net.TCPAddr); ok {
		local = a.AddrPort()
	}
	if a, ok := tcp.RemoteAddr().(*net.TCPAddr); ok {
		remote = a.AddrPort()
	}
	return ending(tcp), local, remote
}
