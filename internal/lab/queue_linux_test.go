package lab_test

import (
	"testing"

	"gotimeout/internal/receipt"
)

// The first run that is offloaded opens the queue. It is answered at its timeout, and the queue opens
// for those that follow.
func TestQueueOpensBesideARun(t *testing.T) {
	l := openRoomy(t, nil)
	if first := finish(t, l, "/offload?op=cpu&delay=0&timeout=1ms"); *first.Status != receipt.TimedOut {
		t.Errorf("the first run: %s, %+v", *first.Status, first.Error)
	}
	if next := finish(t, l, "/offload?op=cpu&delay=0&timeout=50s"); *next.Status != receipt.Accepted {
		t.Errorf("the next run: %s, %+v", *next.Status, next.Error)
	}
}
