package outside

import "github.com/prometheus/procfs"

// Unrouted counts the connects and datagrams that this process's network had no route for. The
// kernel does not tell their addresses.
func Unrouted() (int, error) {
	self, err := procfs.Self()
	if err != nil {
		return 0, err
	}
	four, err := self.Snmp()
	if err != nil || four.OutNoRoutes == nil {
		return 0, err
	}
	n := int(*four.OutNoRoutes)
	if six, err := self.Snmp6(); err == nil && six.OutNoRoutes != nil { // a kernel may be without
		n += int(*six.OutNoRoutes)
	}
	return n, nil
}
