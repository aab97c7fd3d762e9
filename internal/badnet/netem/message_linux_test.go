package netem

import (
	"bytes"
	"encoding/hex"
	"testing"

	"gotimeout/internal/badnet"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// sentByTC is the message that tc of iproute2 6.1 sends for each profile, on a
// little-endian machine: the fixed part and the attributes behind it.
var sentByTC = map[string]string{
	"delay=100ms": "84d7170040420f0000000000000000000000000000000000" +
		"",
	"loss=33.3%": "0000000040420f00ed7c3f55000000000000000000000000" +
		"",
	"loss=5%,burst=2": "0000000040420f0000000000000000000000000000000000" +
		"1800058014000200afa1bc06000000800000000000000000",
	"rate=1mbit limit=9": "000000000900000000000000000000000000000000000000" +
		"1400060048e80100f2ffffff0000000000000000",
	"rate=100gbit": "00000000e803000000000000000000000000000000000000" +
		"0c00080000dd0ee90200000014000600fffffffff2ffffff0000000000000000",
	"delay=64ms jitter=16ms": "40420f0040420f0000000000000000000000000090d00300" +
		"0c00080000d098d4af71000014000600ffffffff000000000000000000000000",
	"delay=1ms reorder=25% duplicate=1%": "093d000040420f000000000001000000295c8f0200000000" +
		"0c0003000000004000000000",
}

func TestOptionsAreWhatTCSends(t *testing.T) {
	if words(1)[0] != 1 {
		t.Skip("the messages are those of a little-endian machine")
	}
	for profile, text := range sentByTC {
		want, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		p, err := paramsOf(asked(t, profile), 14)
		if err != nil {
			t.Fatal(err)
		}
		got := p.options(false).Serialize()[unix.SizeofRtAttr:]
		if !bytes.Equal(got[:optionsSize], want[:optionsSize]) {
			t.Errorf("%s: the fixed part is\n%x, want\n%x", profile, got[:optionsSize], want[:optionsSize])
		}
		has, wants := attributes(t, got), attributes(t, want)
		for kind, value := range wants {
			if !bytes.Equal(has[kind], value) {
				t.Errorf("%s: the attribute %#x is\n%x, want\n%x", profile, kind, has[kind], value)
			}
		}
		// Our message has these attributes where tc leaves them out, and the kernel would keep the old value.
		for _, kind := range []uint16{attrLatency64, attrJitter64, nl.TCA_NETEM_RATE, nl.TCA_NETEM_CORR, nl.TCA_NETEM_CORRUPT} {
			delete(has, kind)
			delete(wants, kind)
		}
		if len(has) != len(wants) {
			t.Errorf("%s: the attributes are %x, want %x", profile, has, wants)
		}
	}
}

func attributes(t *testing.T, options []byte) map[uint16][]byte {
	t.Helper()
	list, err := nl.ParseRouteAttr(options[optionsSize:])
	if err != nil {
		t.Fatal(err)
	}
	out := map[uint16][]byte{}
	for _, a := range list {
		out[a.Attr.Type] = a.Value
	}
	return out
}

// The kernel accepts a whole table, and reads the options back unchanged.
func TestOptionsAreRead(t *testing.T) {
	for _, profile := range []string{"delay=7ms jitter=3ms,normal", "loss=5%,burst=2", "rate=100gbit", "rate=8kbit", "blackhole", "delay=1ms reorder=3%", "loss=5%,correlation=25% corrupt=1%"} {
		want := asked(t, profile)
		p, err := paramsOf(want, 14)
		if err != nil {
			t.Fatal(err)
		}
		data := p.options(true).Serialize()[unix.SizeofRtAttr:]
		if table := attributes(t, data)[nl.TCA_NETEM_DELAY_DIST]; p.jitter > 0 != (len(table) == 2*tableSize) {
			t.Errorf("%s: a table of %d bytes", profile, len(table))
		}
		read, err := paramsIn(data)
		read.distribution = p.distribution
		if got := read.link(); err != nil || got != want {
			t.Errorf("%s: read as %+v, %v, want %+v", profile, got, err, want)
		}
	}
	if _, err := paramsIn(make([]byte, 5)); err == nil {
		t.Error("five bytes are read as options")
	}
}

func TestLayout(t *testing.T) {
	for profile, want := range map[string]int{
		"none": 1, "delay=1ms loss=5%": 1, "delay=1ms reorder=5% duplicate=1%": 1,
		"rate=1mbit": 2, "loss=5%,burst=2": 2, "loss=5%,correlation=25%": 2, "corrupt=1%": 1, "delay=1ms jitter=1ms": 2,
	} {
		l := asked(t, profile)
		plan := badnet.Plan{All: badnet.Profile{Up: l, Down: l}}
		got, err := layoutOf(plan, 14)
		if err != nil || len(got.netems) != want || got.split != (want == 2) || got.single() != (want == 1) {
			t.Errorf("%s: %d netems, %v, want %d", profile, len(got.netems), err, want)
		}
		plan.Ports = map[uint16]badnet.Profile{9: {Up: l}, 7: {}}
		got, err = layoutOf(plan, 14)
		if err != nil || len(got.netems) != want+4 || got.routes[0] != (route{7, want, want + 1}) || got.routes[1] != (route{9, want + 2, want + 3}) {
			t.Errorf("%s and ports: %d netems, %v, %v", profile, len(got.netems), got.routes, err)
		}
	}
}
