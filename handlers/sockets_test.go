package handlers_test

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"testing"

	"gotimeout/handlers"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
)

// fakeKernel knows no connection any more, and has one socket a backend.
type fakeKernel struct{ err error }

func (k fakeKernel) Known(netip.AddrPort, netip.AddrPort) (bool, error) { return false, k.err }

func (k fakeKernel) Sockets(names []string) (*wire.Sockets, error) {
	s := &wire.Sockets{}
	for _, name := range names {
		s.Backends = append(s.Backends, wire.BackendSockets{Name: name, Client: map[string]int{"TIME-WAIT": 1}})
	}
	return s, k.err
}

func TestSockets(t *testing.T) {
	lab := newLab(roomy)
	lab.Kernel = fakeKernel{}
	for query, want := range map[string][]string{"": {"http", "cache", "db"}, "?op=db": {"db"}, "?op=all": {"http", "cache", "db"}, "?op=fails": nil} {
		w := get(t, lab, "/sockets"+query)
		checkStatus(t, w, http.StatusOK)
		var names []string
		for _, b := range read[struct{ Sockets wire.Sockets }](t, w).Sockets.Backends {
			names = append(names, b.Name)
		}
		if !slices.Equal(names, want) {
			t.Errorf("%q: %v, want %v", query, names, want)
		}
	}
	checkStatus(t, get(t, lab, "/sockets?op=dbx"), http.StatusBadRequest)
	checkStatus(t, get(t, lab, "/sockets?state=x"), http.StatusBadRequest)
}

// Where the system doesn't tell, it is null and not nothing.
func TestSocketsNull(t *testing.T) {
	lab := newLab(roomy)
	for _, kernel := range []handlers.Kernel{nil, fakeKernel{errors.New("no sock_diag here")}} {
		lab.Kernel = kernel
		got := read[map[string]any](t, get(t, lab, "/sockets"))
		if s, there := got["sockets"]; !there || s != nil || kernel != nil && got["error"] != "no sock_diag here" {
			t.Errorf("%v", got)
		}
	}
}

// What looked like a FIN, and the kernel no longer knows, was a reset.
func TestReceiptsResolveEnds(t *testing.T) {
	for _, test := range []struct {
		kernel handlers.Kernel
		want   receipt.Connections
	}{
		{nil, receipt.Connections{Dialed: 1, Closed: 1, FINByUs: 1}},
		{fakeKernel{errors.New("no")}, receipt.Connections{Dialed: 1, Closed: 1, FINByUs: 1}},
		{fakeKernel{}, receipt.Connections{Dialed: 1, Closed: 1, RST: 1}},
	} {
		bubble(t, func(t *testing.T, lab *handlers.Lab) {
			lab.Kernel = test.kernel
			if v := view(t, lab, get(t, lab, "/baseline?op=http&delay=1s")); v.Connections != test.want {
				t.Errorf("%+v, want %+v", v.Connections, test.want)
			}
		})
	}
}
