package tun

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"gotimeout/internal/badnet"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TUN is the driver. It implements badnet.Driver, badnet.Watchable and badnet.Mortal.
type TUN struct {
	device int
	six    *ipv6     // nil where there is no ::1
	noSix  error     // why there is none
	last   time.Time // when the loop read a packet
	wake   int       // an eventfd that ends the loop's sleep

	mu      sync.Mutex // for what follows; the loop holds it except while it waits
	network *network
	outside *outside // nil where there is none
	large   bool     // the kernel may hand over many segments as one packet
	flush   bool     // release all held packets at once
	closed  bool
	failed  error // why the loop has ended before Close

	ended chan error // has failed, and is closed when the loop has ended
	done  chan struct{}
}

// Open sends the loopback of this process's network namespace through a TUN
// device, with a good network at first. The same seed, plans and packets give the
// same losses and delays.
func Open(seed uint64) (badnet.Driver, error) {
	device, err := openDevice()
	if err != nil {
		return nil, err
	}
	t := &TUN{device: device, network: newNetwork(seed), large: true, ended: make(chan error, 1), done: make(chan struct{})}
	if t.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err == nil {
		err = t.up()
	}
	if err != nil {
		t.release()
		return nil, fmt.Errorf("the tun driver: %w", err)
	}
	go t.loop()
	return t, nil
}

func (t *TUN) up() error {
	if err := setLarge(t.device, true); err != nil {
		return err
	}
	link, err := linkUp()
	if err != nil {
		return err
	}
	if t.six, t.noSix = takeIPv6(link); t.noSix != nil {
		if err := disableIPv6("all"); err != nil { // ::1 would be good
			return err
		}
	}
	return route(link)
}

// Apply changes the network. The held packets are released at once, in their
// order, so that the packets that follow neither wait for them nor overtake them.
func (t *TUN) Apply(p badnet.Plan) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.failed != nil {
		return errors.Join(errors.New("the tun driver has ended"), t.failed)
	}
	if err := setLarge(t.device, large(p)); err != nil {
		return err
	}
	t.large = large(p)
	t.network.set(p)
	t.flush = true
	signal(t.wake)
	return nil
}

// Watch shows the packets. It implements badnet.Watchable.
func (t *TUN) Watch(by badnet.Watcher, ports ...uint16) (stop func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.network.watched(by, ports)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.network.unwatched(w)
	}
}

// Totals counts the packets of both directions.
func (t *TUN) Totals() (badnet.Totals, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	totals := t.network.totals()
	totals.Dropped += t.network.dropped
	return totals, t.failed
}

// Failed has the error of a device that is gone. It implements badnet.Mortal.
func (t *TUN) Failed() <-chan error { return t.ended }

// Close ends the driver. The loopback is good again: the routes to the TUN go with its device.
// Until then no packet passes a driver that has failed.
func (t *TUN) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return t.failed
	}
	t.closed = true
	signal(t.wake)
	t.mu.Unlock()
	<-t.done
	t.release()
	if t.six != nil {
		t.six.close()
	}
	return t.failed
}

// release gives back the device, and with it the routes that lead to it.
func (t *TUN) release() {
	unix.Close(t.device)
	unix.Close(t.wake)
	_ = netlink.RouteDel(unreachable()) // fails where it is not there
}

// loop moves the packets until Close.
func (t *TUN) loop() {
	runtime.LockOSThread() // never unlocked: the thread keeps hurry's settings and ends here
	moreTurns(spare)
	defer moreTurns(-spare)
	defer close(t.done)
	defer close(t.ended)
	hurry()
	frame := make([]byte, vnet+1<<16)
	for {
		wait, ok := t.move(frame)
		if !ok {
			return
		}
		if wait < 0 && time.Since(t.last) < linger {
			continue
		}
		t.sleep(wait)
	}
}

// batch is how many packets are read before the due ones are written.
const batch = 32

// move writes the packets that are due and reads new ones until it has to wait. It
// returns for how long, where below 0 means until the next packet.
func (t *TUN) move(frame []byte) (wait time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for !t.closed {
		now := time.Now()
		until := now
		if t.flush {
			t.flush, until = false, now.Add(24*time.Hour)
		}
		for packet, due := t.network.pop(until); due; packet, due = t.network.pop(until) {
			t.write(t.network.leave(now, packet))
		}
		more, err := t.read(frame)
		if err != nil {
			t.failed = fmt.Errorf("the tun driver: %w", err)
			t.ended <- t.failed
			return 0, false
		}
		if !more {
			next, waiting := t.network.next()
			if !waiting {
				return -1, true
			}
			if wait = time.Until(next); wait > 0 {
				return wait, true
			}
		}
		// The others have their turn, for a sender may never pause. Go's mutex hands itself over
		// to one that has waited for 1 ms.
		t.mu.Unlock()
		t.mu.Lock()
	}
	return 0, false
}

// read takes a batch of packets, and tells whether there may be more.
func (t *TUN) read(frame []byte) (more bool, err error) {
	for range batch {
		n, err := unix.Read(t.device, frame)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return false, nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EBADFD):
			return false, fmt.Errorf("its device %s was deleted", name)
		case err != nil:
			return false, fmt.Errorf("read: %w", err)
		}
		if n <= vnet {
			t.network.dropped++
			continue
		}
		t.last = time.Now()
		if t.network.send(t.last, frame[:n], vnet) {
			t.write(frame[:n])
		}
	}
	return true, nil
}

// write hands a packet to the outside or back to the kernel, and drops it where that
// does not take it.
func (t *TUN) write(packet []byte) {
	if t.outside.leaves(packet[vnet:]) {
		if !t.outside.take(packet) {
			t.network.dropped++
		}
		return
	}
	var err error
	if packet[vnet]>>4 == 6 && t.six != nil {
		err = t.six.write(packet)
	} else {
		_, err = unix.Write(t.device, packet)
	}
	if err != nil {
		t.network.dropped++
	}
}

// early is how long before a release the loop first wakes up, to sleep again for
// the rest: an idle processor wakes up from a long sleep 0.1 ms late.
const early = 300 * time.Microsecond

// sleep waits for a packet, for wake, or until the time has passed.
func (t *TUN) sleep(wait time.Duration) {
	fds := []unix.PollFd{{Fd: int32(t.device), Events: unix.POLLIN}, {Fd: int32(t.wake), Events: unix.POLLIN}}
	var timeout *unix.Timespec
	if wait > 2*early {
		wait -= early
	}
	if wait >= 0 {
		ts := unix.NsecToTimespec(int64(wait))
		timeout = &ts
	}
	_, _ = unix.Ppoll(fds, timeout, nil) // an interrupted one looks again
	if fds[1].Revents != 0 {
		var seen [8]byte
		_, _ = unix.Read(t.wake, seen[:])
	}
}

// spare is by how much GOMAXPROCS is raised while a driver is open. A thread that
// returns from the kernel waits until Go's scheduler has a processor for it: with
// all of them busy, or preempted by other programs, the loop waited for up to
// 100 ms.
const spare = 2

// linger is for how long after a packet the loop polls for the next one before it
// sleeps, where it holds none: to wake a thread on another processor takes 40 µs
// on an idle machine, twice in each round trip. With one processor polling would
// keep the sender from sending.
var linger = func() time.Duration {
	if runtime.NumCPU() == 1 {
		return 0
	}
	return 50 * time.Microsecond
}()

func moreTurns(n int) { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n) }

// hurry makes the kernel wake this thread on time, as far as the system allows: the
// second setting needs CAP_SYS_NICE, which root has and a user in a user namespace
// has not.
func hurry() {
	// The kernel's default is up to 50 µs late, to save wake-ups.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	// Without real-time priority another program may run on until the next tick, in
	// 4 ms or more. This loop can't starve others: it waits for their packets.
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK,
	}, 0)
}
