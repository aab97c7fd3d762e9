package tun

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"gotimeout/internal/badnet"

	"golang.org/x/sys/unix"
)

// TUN is the driver. It implements badnet.Driver.
type TUN struct {
	device int
	last   time.Time // when the loop read a packet
	wake   int       // an eventfd: something is to be done

	mu      sync.Mutex // for network, which the loop holds but while it waits
	network *network
	flush   bool // what is held comes out at once
	closed  bool
	failed  error // why the loop has ended before Close

	done chan struct{}
}

// Open makes the loopback of this process's network namespace go through a TUN
// device, where nothing is bad at first. The same seed, plans and packets give
// the same losses and delays.
func Open(seed uint64) (badnet.Driver, error) {
	device, err := openDevice()
	if err != nil {
		return nil, err
	}
	t := &TUN{device: device, network: newNetwork(seed), done: make(chan struct{})}
	if t.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err == nil {
		err = t.up()
	}
	if err != nil {
		unix.Close(device)
		unix.Close(t.wake)
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
	return route(link)
}

// Apply changes the network. The packets that are held come out at once, in
// their order: those to come neither wait for them nor overtake them.
func (t *TUN) Apply(p badnet.Plan) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.failed != nil {
		return errors.Join(errors.New("the tun driver has ended"), t.failed)
	}
	if err := setLarge(t.device, large(p)); err != nil {
		return err
	}
	t.network.set(p)
	t.flush = true
	signal(t.wake)
	return nil
}

// Totals returns what became of the packets.
func (t *TUN) Totals() (badnet.Totals, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	totals := t.network.totals()
	totals.Dropped += t.network.dropped
	return totals, t.failed
}

// Close ends the driver, and with it the traffic: the routes lead nowhere.
func (t *TUN) Close() error {
	t.mu.Lock()
	t.closed = true
	signal(t.wake)
	t.mu.Unlock()
	<-t.done
	return t.failed
}

// loop moves the packets until Close.
func (t *TUN) loop() {
	runtime.LockOSThread() // never unlocked: the thread, with what hurry made of it, ends here
	moreTurns(spare)
	defer moreTurns(-spare)
	defer close(t.done)
	defer unix.Close(t.wake)
	defer unix.Close(t.device)
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

// batch is how many packets are read before those that are due get their turn.
const batch = 32

// move writes what is due and reads what has come, until it has to wait; it
// returns for how long, where below 0 is for ever.
func (t *TUN) move(frame []byte) (wait time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for !t.closed {
		now := time.Now()
		until := now
		if t.flush {
			t.flush, until = false, now.Add(24*time.Hour)
		}
		for packet, due := t.network.queue.Pop(until); due; packet, due = t.network.queue.Pop(until) {
			t.write(packet)
		}
		more, err := t.read(frame)
		if err != nil {
			t.failed = fmt.Errorf("the tun driver: %w", err)
			return 0, false
		}
		if more {
			continue
		}
		next, waiting := t.network.queue.Next()
		if !waiting {
			return -1, true
		}
		if wait = time.Until(next); wait > 0 {
			return wait, true
		}
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

// write hands a packet back to the kernel. What it won't take is dropped.
func (t *TUN) write(packet []byte) {
	if _, err := unix.Write(t.device, packet); err != nil {
		t.network.dropped++
	}
}

// early is how long before the time the loop wakes up to sleep again: from a
// short sleep an idle processor wakes up at once, from a long one 0.1 ms late.
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

// spare is by how many more goroutines may run at once while a driver is open.
// A thread that comes back from the kernel waits until Go lets it run: among as
// many goroutines as there are processors, all of them busy or preempted by
// other programs, the loop was found to wait for up to 100 ms.
const spare = 2

// linger is for how long after a packet the loop looks for the next one before
// it sleeps, where it holds none: on an idle machine it takes 40 µs to wake a
// thread on another processor, and a ping-pong without delays does it twice a
// round trip. With one processor it would only keep the next packet from coming.
var linger = func() time.Duration {
	if runtime.NumCPU() == 1 {
		return 0
	}
	return 50 * time.Microsecond
}()

func moreTurns(n int) { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n) }

// hurry makes the kernel wake this thread when it is to be woken. Both are as far
// as the system allows: the second takes CAP_SYS_NICE, which root has and the
// user in a namespace of his own has not.
func hurry() {
	// By itself it wakes a thread up to 50 µs late, to save wake-ups.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	// And it may let another program run on until the next tick, 4 ms and more.
	// What is real-time can starve others, but this loop has nothing to do
	// before those have sent something.
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK,
	}, 0)
}
