package lab_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/internal/lab"
	"gotimeout/internal/wire"
)

// A listing of the sockets is used again for as long as it took to make. A failed one is not kept.
func TestSocketListingIsUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const took = time.Minute
		made, failure := 0, error(nil)
		sockets := lab.SocketsListedBy(func() ([]wire.BackendSockets, error) {
			made++
			time.Sleep(took)
			return make([]wire.BackendSockets, made), failure
		})
		for step, s := range []struct {
			after time.Duration // since the end of the step before
			fails error
			made  int // listings, in all
		}{
			{0, nil, 1},
			{0, nil, 1},
			{took - 1, nil, 1},
			{1, nil, 2},
			{took - 1, nil, 2},
			{1, errors.New("no netlink"), 3},
			{0, errors.New("no netlink"), 4},
			{0, nil, 5},
			{took - 1, nil, 5},
		} {
			time.Sleep(s.after)
			failure = s.fails
			listed, err := sockets()
			if made != s.made || !errors.Is(err, s.fails) || err == nil && len(listed) != s.made {
				t.Errorf("step %d: %d listings were made, and number %d was used: %v; want %d listings", step, made, len(listed), err, s.made)
			}
		}
	})
}
