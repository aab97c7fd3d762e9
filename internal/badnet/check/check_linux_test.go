package check

import (
	"net"
	"testing"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/drivers"
	"gotimeout/internal/badnet/probe"

	"github.com/vishvananda/netlink"
)

// A check finds that ::1 alone is good: the TUN without the filter that leads ::1 to it.
func TestCheckFindsAGoodIPv6(t *testing.T) {
	if noPrivate != nil {
		t.Skip(noPrivate)
	}
	p, err := badnet.Parse("delay=100ms")
	if err != nil {
		t.Fatal(err)
	}
	loopback, err := drivers.OpenLoopback(badnet.TUN, p, 1)
	if err != nil {
		t.Skip(err)
	}
	defer loopback.Close()
	six, err := probe.NewEchoAt("::1", 1)
	if err != nil {
		t.Skip("there is no ::1: ", err)
	}
	defer six.Close()
	wrong := func() []string {
		m := perfect(p)
		if m.six.dials, m.six.trips, err = times(t.Context(), six.Addr(), scheduleOf(p).over6(p)); err != nil {
			t.Fatal(err)
		}
		if len(m.six.trips.times) == 0 {
			t.Error("nothing came back over ::1")
		}
		return outside(p, m)
	}
	t.Logf("by the TUN, outside are %q", wrong()) // some, where the machine is slow
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	filter := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: lo.Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	if err := netlink.QdiscDel(filter); err != nil {
		t.Fatal(err)
	}
	if got := wrong(); len(got) != 2 {
		t.Errorf("without the filter, outside are %q", got)
	}
}
