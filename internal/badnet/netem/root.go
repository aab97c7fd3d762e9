package netem

import "gotimeout/internal/badnet"

// Root is what is at the root of a link.
type Root struct {
	Dev    string
	Qdisc  string       // its kind and handle; "" for the kernel's own choice
	Ours   bool         // made by this package
	Link   *badnet.Link // what it makes of the packets that leave, if it is a netem of ours
	Totals badnet.Totals
}
