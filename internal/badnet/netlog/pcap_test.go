package netlog_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/netlog"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// captured reads a capture: for each packet its interface, time, link and bytes.
func captured(t *testing.T, file io.Reader) (all []string) {
	t.Helper()
	r, err := pcapgo.NewNgReader(file, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		in, err := r.Interface(info.InterfaceIndex)
		if err != nil || in.LinkType != layers.LinkTypeEthernet {
			t.Errorf("the link of %s is %s, %v", in.Name, in.LinkType, err)
		}
		all = append(all, fmt.Sprintf("%s %d.%09d %x %s", in.Name, info.Timestamp.Unix(), info.Timestamp.Nanosecond(), data[12:14], data[14:]))
	}
	for i, want := range []string{"2 received 0 dropped", "1 received 0 dropped", "1 received 0 dropped", "1 received 0 dropped"} {
		in, err := r.Interface(i)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%d received %d dropped", in.Statistics.PacketsReceived, in.Statistics.PacketsDropped); got != want {
			t.Errorf("%s: %s, want %s", in.Name, got, want)
		}
	}
	return all
}

// A capture has each packet before and after the shaper, at its real time, and a packet that
// was dropped only before.
func TestCapture(t *testing.T) {
	var file bytes.Buffer
	c, err := netlog.NewCapture(&file)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 29, 5, 0, 0, 123456789, time.UTC)
	c.Changed(badnet.Profile{})
	data := []byte("Eone")
	c.Sent(badnet.Packet{At: at, Up: true, Data: data})
	copy(data, "xxxx") // a Packet's Data is only valid until the return
	c.Sent(badnet.Packet{At: at.Add(ms), Up: true, Data: []byte("`lost")})
	c.Sent(badnet.Packet{At: at.Add(2 * ms), Data: []byte("Eanswer")})
	c.Delivered(badnet.Packet{At: at.Add(50 * ms), Up: true, Data: []byte("Eone")})
	c.Delivered(badnet.Packet{At: at.Add(52 * ms), Data: []byte("Eanswer")})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c.Sent(badnet.Packet{At: at, Data: []byte("too late")})
	want := fmt.Sprintf("up before %[1]d.123456789 0800 Eone\nup before %[1]d.124456789 86dd `lost\ndown before %[1]d.125456789 0800 Eanswer\nup after %[1]d.173456789 0800 Eone\ndown after %[1]d.175456789 0800 Eanswer", at.Unix())
	if got := strings.Join(captured(t, &file), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// slow is a file that takes nothing until it is told.
type slow struct {
	first, open chan struct{}
	written     int
}

func (s *slow) Write(b []byte) (int, error) {
	select {
	case s.first <- struct{}{}:
	default:
		<-s.open
	}
	s.written += len(b)
	return len(b), nil
}

// No packet waits for a slow file, whose capture misses some then and says so.
func TestCaptureOfASlowFile(t *testing.T) {
	file := &slow{first: make(chan struct{}, 1), open: make(chan struct{})}
	c, err := netlog.NewCapture(file)
	if err != nil {
		t.Fatal(err)
	}
	p := badnet.Packet{At: time.Now(), Up: true, Data: make([]byte, 1<<16)}
	for range 2200 { // more than is written at once and waits
		c.Sent(p)
	}
	close(file.open)
	if err := c.Close(); err == nil || !strings.HasSuffix(err.Error(), " packets are missing, since the file took them too slowly") {
		t.Error(err)
	}
	if n := file.written; n > 130<<20 || n < 60<<20 {
		t.Errorf("%d bytes are written", n)
	}
}

// A full disk ends the capture, and Close says so.
func TestCaptureOnAFullDisk(t *testing.T) {
	if _, err := netlog.NewCapture(&full{10}); err == nil {
		t.Error("no error of the first block")
	}
	c, err := netlog.NewCapture(&full{1000})
	if err != nil {
		t.Fatal(err)
	}
	c.Sent(badnet.Packet{At: time.Now(), Data: make([]byte, 2000)})
	if err := c.Close(); err == nil || err.Error() != "no space left" {
		t.Error(err)
	}
}
