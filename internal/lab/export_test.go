package lab

import "gotimeout/internal/wire"

// SocketsListedBy returns the function from which a lab gets the sockets of its backends, where list lists them.
func SocketsListedBy(list func() ([]wire.BackendSockets, error)) func() ([]wire.BackendSockets, error) {
	return (&kernel{list: list}).backends
}
