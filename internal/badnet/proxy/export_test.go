package proxy

import "net"

func (p *Proxies) Listener(name string) *net.TCPListener { return p.fronts[name].listener }
