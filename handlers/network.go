package handlers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/wire"
)

// Network is the bad network between the ops and their backends.
type Network interface {
	// State returns the network as it is now.
	State() *badnet.State
	// Set gives a profile to a backend, or to all of them for "", and measures it.
	Set(ctx context.Context, backend string, p badnet.Profile) error
	// Reset undoes Set. For "" the network is good again; for a backend it is the
	// network of the other backends.
	Reset(ctx context.Context, backend string) error
	// Record writes a log of the packets to and from the backends, until ctx is done.
	Record(ctx context.Context, to io.Writer) error
}

var noNetwork = &badnet.State{
	Path: badnet.Path{Driver: badnet.Without, Profile: badnet.None},
	Why:  badnet.ErrNone.Error(),
}

// state returns the network as it is now.
func (l *Lab) state() *badnet.State {
	if l.Network == nil {
		return noNetwork
	}
	return l.Network.State()
}

// network answers with the network as it is now.
func (l *Lab) network(w http.ResponseWriter, r *http.Request) {
	a := wire.Network{State: l.state(), Presets: badnet.Presets()}
	if err := l.mayChange(r); err != nil {
		sentence := err.Error()
		a.Change = &sentence
	}
	writeJSON(w, r, http.StatusOK, a)
}

// changeNetwork sets the profile in the body, or resets the network. It answers when
// the change has been measured.
func (l *Lab) changeNetwork(w http.ResponseWriter, r *http.Request) {
	if err := l.mayChange(r); err != nil {
		refuse(w, r, http.StatusForbidden, "forbidden", err.Error())
		return
	}
	if l.Network == nil {
		refuse(w, r, http.StatusConflict, "no_network", badnet.ErrNone.Error())
		return
	}
	q, err := query(r.URL.RawQuery, "backend")
	if err != nil {
		badParameter(w, r, err)
		return
	}
	ctx := r.Context()
	if r.Method == http.MethodDelete {
		err = l.Network.Reset(ctx, q["backend"])
	} else {
		var p badnet.Profile
		if p, err = l.readProfile(w, r); errors.Is(err, errStopping) {
			refuse(w, r, http.StatusServiceUnavailable, "stopping", err.Error())
			return
		} else if err != nil {
			badParameter(w, r, err)
			return
		}
		err = l.Network.Set(ctx, q["backend"], p)
	}
	switch {
	case err == nil:
		path := l.Network.State().Of(q["backend"])
		l.Log.Info("network", "method", r.Method, "backend", q["backend"], "profile", path.Profile, "round_trip_ms", *path.RoundTrip)
		l.network(w, r)
	case ctx.Err() != nil: // the caller has left; the network is unchanged
	case errors.Is(err, badnet.ErrBackend):
		badParameter(w, r, err)
	case errors.Is(err, badnet.ErrCannot):
		refuse(w, r, http.StatusBadRequest, "driver_cannot", err.Error())
	default:
		l.Log.Error("network", "error", err)
		refuse(w, r, http.StatusServiceUnavailable, "network_failed", err.Error())
	}
}

// maxProfile is longer than any profile.
const maxProfile = 1 << 10

var errStopping = errors.New("the lab is stopping: ask again when it is back")

func (l *Lab) readProfile(w http.ResponseWriter, r *http.Request) (badnet.Profile, error) {
	// A lab that stops waits for its answers, but not for a body that comes slowly.
	ctx, cancel := l.streaming(r.Context())
	defer cancel()
	unset := context.AfterFunc(ctx, func() { _ = http.NewResponseController(w).SetReadDeadline(time.Now()) })
	defer unset()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxProfile))
	if err != nil && ctx.Err() != nil {
		return badnet.Profile{}, errStopping
	}
	if err != nil {
		return badnet.Profile{}, fmt.Errorf("the body can't be read as a profile (%w): send one of at most %d bytes", err, maxProfile)
	}
	text := strings.TrimSpace(string(body))
	if text == "" {
		return badnet.Profile{}, errors.New("the body is empty: send a profile, as in curl -X PUT -d 'delay=100ms loss=1%', or the name of a preset")
	}
	return badnet.Parse(text)
}

// pathOf returns the network to an op's backends, nil for none.
func (l *Lab) pathOf(op Op) *badnet.Path {
	s := l.state()
	if s.Driver == badnet.Without {
		return nil
	}
	if len(op.Parts) == 1 {
		return s.Of(op.Name)
	}
	return s.Together()
}

// networkOf returns the network between a run and its backend. A target is reached
// without it, so that its fault is the only one.
func (l *Lab) networkOf(p params) *badnet.Path {
	if p.target != "" {
		return nil
	}
	return l.pathOf(*p.op)
}

// pathText describes a network in a line, "" for none.
func pathText(p *badnet.Path) string {
	if p == nil {
		return ""
	}
	text := fmt.Sprintf("network=%q driver=%s", p.Profile, p.Driver)
	if p.RoundTrip != nil {
		text += fmt.Sprintf(", round trip %g ms", *p.RoundTrip)
	}
	if c := p.Calibration; c != nil && c.RoundTripP50 != nil {
		text += fmt.Sprintf(", measured %.1f", *c.RoundTripP50)
	}
	if p.Ended != "" {
		text += ", ended: " + p.Ended
	}
	return text
}
