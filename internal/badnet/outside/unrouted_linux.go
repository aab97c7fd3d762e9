package outside

import "github.com/prometheus/procfs"

// Unrouted counts the connects and datagrams of IPv4, which a Stack carries, that this
// process's network had no route for. The kernel does not tell their addresses.
func Unrouted() (int, error) {
	self, err := procfs.Self()
	if err != nil {
		return 0, err
	}
	counted, err := self.Snmp()
	if err != nil || counted.OutNoRoutes == nil {
		return 0, err
	}
	return int(*counted.OutNoRoutes), nil
}
