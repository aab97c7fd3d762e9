package httpbackend

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

// blackhole returns an address at which no dial gets an answer: the queue of
// connections that nobody accepts is full, and then Linux drops what asks for
// one more. Other systems refuse it.
func blackhole() (addr string, end func(), err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", nil, os.NewSyscallError("socket", err)
	}
	var held []net.Conn
	end = func() {
		for _, c := range held {
			_ = c.Close()
		}
		_ = syscall.Close(fd)
	}
	if addr, err = listenFull(fd); err != nil {
		end()
		return "", nil, err
	}
	for range 10 {
		// Room for the busiest machine would be in vain: what is full stays full.
		ctx, cancel := context.WithTimeout(context.Background(), 25*time.Millisecond)
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		cancel()
		if err != nil {
			return addr, end, nil
		}
		held = append(held, c)
	}
	end()
	return "", nil, errors.New("its queue of connections is never full on this kernel")
}

func listenFull(fd int) (addr string, err error) {
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return "", os.NewSyscallError("bind", err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		return "", os.NewSyscallError("listen", err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		return "", os.NewSyscallError("getsockname", err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(at.(*syscall.SockaddrInet4).Port)), nil
}
