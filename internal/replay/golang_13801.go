package replay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gotimeout/internal/badnet/private"
)

func httpPorts() Experiment {
	return Experiment{
		ID: "golang-13801", Title: "two idle connections are kept for each host, and the ports run out",
		Issues:   []string{"https://go.dev/issue/13801", "https://go.dev/issue/16012"},
		Reported: "\"cannot assign requested address\" under load: MaxIdleConnsPerHost is 2 unless it is set, so all other connections are closed after their call, and their ports stay in TIME-WAIT for a minute.",
		Does:     "16 workers make a request at the same time, ten times, in a private network that has 100 ports for clients.",
		Remedy:   "Set MaxIdleConnsPerHost to the number of workers.",
		private:  true,
		run:      replayHTTPPorts,
	}
}

func replayHTTPPorts(ctx context.Context, remedy bool) (o Outcome, err error) {
	const workers, bursts = 16, 10
	if err := errors.Join(
		private.Sysctl("ipv4/ip_local_port_range", "40000 40099"),
		private.Sysctl("ipv4/tcp_tw_reuse", "0"), // 2 would let loopback reuse the ports, and hide the trap on this machine alone
	); err != nil {
		return o, err
	}
	var opened, failed atomic.Int64
	url, err := serve(&http.Server{ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}}, func(http.ResponseWriter, *http.Request) { time.Sleep(50 * time.Millisecond) })
	if err != nil {
		return o, err
	}
	transport := &http.Transport{}
	if remedy {
		transport.MaxIdleConnsPerHost = workers
	}
	client := &http.Client{Transport: transport}
	for range bursts {
		var burst sync.WaitGroup
		for range workers {
			burst.Go(func() {
				if _, _, err := get(ctx, client, url); errors.Is(err, syscall.EADDRNOTAVAIL) {
					failed.Add(1)
				}
			})
		}
		burst.Wait()
	}
	return Outcome{
		Saw: fmt.Sprintf("%d workers opened %d connections for %d requests; %d requests failed with \"%v\".",
			workers, opened.Load(), workers*bursts, failed.Load(), syscall.EADDRNOTAVAIL),
		Reproduced: failed.Load() > 0,
	}, nil
}
