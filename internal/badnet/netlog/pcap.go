package netlog

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"

	"gotimeout/internal/badnet"
	"gotimeout/internal/prose"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// The interfaces of a capture. A packet that was dropped is only on the one before the shaper.
var interfaces = [4]string{"up before", "up after", "down before", "down after"}

// lo is the Ethernet header of packets on lo, without their family. tcpdump refuses several
// interfaces of raw IP.
const lo = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// waiting is how many bytes of a capture may wait for its file.
const waiting = 64 << 20

// Capture writes the packets as pcapng, each before and after the shaper. It implements
// badnet.Watcher.
type Capture struct {
	to    io.Writer
	more  chan struct{} // has one where the writer has something to do
	ended sync.WaitGroup

	mu      sync.Mutex
	file    *pcapgo.NgWriter // into held
	frame   []byte           // of the present packet
	held    []byte           // to be written
	missing [len(interfaces)]uint64
	taken   [len(interfaces)]uint64
	closed  bool
	err     error // of the first write that failed
}

// NewCapture begins a capture and writes the names of its interfaces.
func NewCapture(to io.Writer) (*Capture, error) {
	c := &Capture{to: to, more: make(chan struct{}, 1)}
	for i, name := range interfaces {
		in := pcapgo.NgInterface{Name: name, LinkType: layers.LinkTypeEthernet}
		err := error(nil)
		if i == 0 {
			options := pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "gotimeout"}}
			c.file, err = pcapgo.NewNgWriterInterface((*holder)(c), in, options)
		} else {
			_, err = c.file.AddInterface(in)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := c.file.Flush(); err != nil {
		return nil, err
	}
	first := c.held
	c.held = nil
	if _, err := to.Write(first); err != nil {
		return nil, err
	}
	c.ended.Go(c.write)
	return c, nil
}

// holder appends what is to be written, so that no packet waits for the file.
type holder Capture

func (h *holder) Write(b []byte) (int, error) {
	h.held = append(h.held, b...)
	return len(b), nil
}

// Sent takes a packet before the shaper.
func (c *Capture) Sent(p badnet.Packet) { c.take(p, 0) }

// Delivered takes a packet after the shaper.
func (c *Capture) Delivered(p badnet.Packet) { c.take(p, 1) }

// Changed does nothing: packets have no profile.
func (c *Capture) Changed(badnet.Profile) {}

func (c *Capture) take(p badnet.Packet, after int) {
	in := after
	if !p.Up {
		in += 2
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.taken[in]++
	if len(c.held)+len(p.Data) > waiting || c.err != nil {
		c.missing[in]++
		return
	}
	c.frame = append(append(c.frame[:0], lo...), p.Data...)
	family := layers.EthernetTypeIPv4
	if len(p.Data) > 0 && p.Data[0]>>4 == 6 {
		family = layers.EthernetTypeIPv6
	}
	binary.BigEndian.PutUint16(c.frame[len(lo)-2:], uint16(family))
	c.keep(c.file.WritePacket(gopacket.CaptureInfo{Timestamp: p.At, CaptureLength: len(c.frame), Length: len(c.frame), InterfaceIndex: in}, c.frame))
	select {
	case c.more <- struct{}{}:
	default:
	}
}

func (c *Capture) keep(err error) {
	if c.err == nil {
		c.err = err
	}
}

// write writes what is held, not in the calls of the driver, whose packets would wait.
func (c *Capture) write() {
	var spare []byte
	for range c.more {
		c.mu.Lock()
		c.keep(c.file.Flush())
		lines, failed := c.held, c.err
		c.held = spare[:0]
		c.mu.Unlock()
		if failed != nil {
			continue
		}
		_, err := c.to.Write(lines)
		spare = lines
		c.mu.Lock()
		c.keep(err)
		c.mu.Unlock()
	}
}

// Close writes what is left, and how many packets of each interface are missing. It returns
// the error of the first write that failed, or one that says that packets are missing.
func (c *Capture) Close() error {
	c.mu.Lock()
	c.closed = true
	for in := range interfaces {
		c.keep(c.file.WriteInterfaceStats(in, pcapgo.NgInterfaceStatistics{PacketsReceived: c.taken[in], PacketsDropped: c.missing[in]}))
	}
	c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
	close(c.more)
	c.ended.Wait()
	if n := slices.Max(c.missing[:]); c.err == nil && n > 0 {
		return fmt.Errorf("%s are missing, since the file took them too slowly", prose.Count(int(c.missing[0]+c.missing[1]+c.missing[2]+c.missing[3]), "packet"))
	}
	return c.err
}
