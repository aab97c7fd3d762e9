package netem

import (
	"testing"

	"gotimeout/internal/badnet"
)

func TestLayout(t *testing.T) {
	for profile, want := range map[string]int{
		"none": 1, "delay=1ms loss=5%": 1, "delay=1ms reorder=5% duplicate=1%": 1,
		"rate=1mbit": 2, "loss=5%,burst=2": 2, "delay=1ms jitter=1ms": 2,
	} {
		l := asked(t, profile)
		plan := badnet.Plan{All: badnet.Profile{Up: l, Down: l}}
		got, err := layoutOf(plan, 14)
		if err != nil || len(got.netems) != want || got.split != (want == 2) || got.alone() != (want == 1) {
			t.Errorf("%s: %d netems, %v, want %d", profile, len(got.netems), err, want)
		}
		plan.Ports = map[uint16]badnet.Profile{9: {Up: l}, 7: {}}
		got, err = layoutOf(plan, 14)
		if err != nil || len(got.netems) != want+4 || got.routes[0] != (route{7, want, want + 1}) || got.routes[1] != (route{9, want + 2, want + 3}) {
			t.Errorf("%s and ports: %d netems, %v, %v", profile, len(got.netems), got.routes, err)
		}
	}
}
