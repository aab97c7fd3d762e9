package outside

import "net"

func (r *Relay) Listener() *net.TCPListener { return r.listener.(*net.TCPListener) }
