package timewait

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"time"

	"gotimeout/internal/sockets"
)

// twOld is longer than a TIME-WAIT must have lasted to be taken again.
const twOld = 1500 * time.Millisecond

// twReuse tries the values of tcp_tw_reuse between addresses of the loopback and
// between others, whose ports are all in TIME-WAIT.
func (s *scarce) twReuse(ctx context.Context) error {
	if _, err := fill(ctx, net.Dialer{}, s.elsewhere, 2*wide); err != nil {
		return err
	}
	for value, c := range []struct {
		loopback, other bool
		why             string
	}{
		{false, false, "A port in TIME-WAIT stays taken, however long its minute has run."},
		{true, true, "A client may take one that is a second old: TCP's timestamps tell the old connection's packets from the new one's. It helps the end that connects, and no server."},
		{true, false, "The default: for loopback alone. It hides on a developer's machine, where all is loopback, what production runs into."},
	} {
		if err := s.reuseIs(ctx, value, c.loopback, c.other, c.why); err != nil {
			return err
		}
	}
	return nil
}

// reuseIs tries a value, for longer than a TIME-WAIT must be old to be taken.
func (s *scarce) reuseIs(ctx context.Context, value int, loopback, other bool, why string) error {
	undo, err := set(reuse, fmt.Sprint(value))
	if err != nil {
		return err
	}
	defer undo()
	before, err := sockets.Count()
	if err != nil {
		return err
	}
	var saw [2]bool
	for i, to := range []*server{s.first, s.elsewhere} {
		if saw[i], err = connects(ctx, to, []bool{loopback, other}[i]); err != nil {
			return err
		}
	}
	after, err := sockets.Count()
	reused := int(after.Sub(before).TimeWaitReuse)
	s.step(Step{
		Did:      fmt.Sprintf("tcp_tw_reuse=%d, to 127.0.0.1 and to %s", value, otherAddress),
		Expected: outcome(loopback) + ", " + outcome(other),
		Saw:      fmt.Sprintf("%s, %s; %s taken again", outcome(saw[0]), outcome(saw[1]), plural(reused, "TIME-WAIT")),
		OK:       saw == [2]bool{loopback, other} && (reused > 0) == (loopback || other),
		Why:      why,
		Figures:  Figures{Ports: number(narrow), TWReuse: &value, Reused: &reused},
	})
	return err
}

func outcome(connected bool) string {
	if connected {
		return "connected"
	}
	return fmt.Sprint(syscall.EADDRNOTAVAIL)
}

// connects tries to connect: until it does where it should, else for longer than
// the second that a TIME-WAIT must be old.
func connects(ctx context.Context, to *server, should bool) (did bool, err error) {
	bound := patience
	if !should {
		bound = twOld
	}
	err = until(ctx, bound, func() (bool, error) {
		f, err := fill(ctx, net.Dialer{}, to, 1)
		did = f.opened > 0
		return did, err
	})
	return did, err
}

// recycle looks for the setting that old advice names.
func (s *scarce) recycle(context.Context) error {
	has := hasSetting("tcp_tw_recycle")
	saw := "there is none"
	if has {
		saw = "there is one"
	}
	s.step(Step{
		Did:      "tcp_tw_recycle: looked for the setting",
		Expected: "there is none", Saw: saw, OK: !has,
		Why:     "Linux 4.12 has removed it, for it dropped connections of clients behind one NAT: advice that names it is from before 2017.",
		Command: "sysctl net.ipv4.tcp_tw_recycle",
	})
	return nil
}
