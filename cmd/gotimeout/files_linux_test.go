package main

import (
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"
)

// A lab that may have few files open leaves some free, also while the pool of each op would like to keep its
// connections: no call and no accept fails for want of a descriptor.
func TestFewFiles(t *testing.T) {
	t.Parallel()
	const limit, free, requests = 72, 8, 600
	prefix := []string{"sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$@"`, limit), "sh"}
	p, lab := labProcess(t, prefix, "--data="+t.TempDir())
	client := &http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	statuses, most := map[int]int{}, 0
	var calls sync.WaitGroup
	ops := []string{"http", "cache", "db", "postgres", "redis", "grpc"}
	for i := range requests {
		time.Sleep(2 * time.Millisecond)
		calls.Go(func() {
			status := 0 // a closed connection
			if resp, err := client.Get(fmt.Sprintf("%s/context-cancel?op=%s&delay=20ms&timeout=10s", p.url, ops[i%len(ops)])); err == nil {
				resp.Body.Close()
				status = resp.StatusCode
			} else if os.IsTimeout(err) {
				t.Error(err)
			}
			open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", lab.Process.Pid))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			statuses[status]++
			most = max(most, len(open))
		})
	}
	calls.Wait()
	if most > limit-free {
		t.Errorf("the lab had %d of %d files open", most, limit)
	}
	if statuses[http.StatusOK] == 0 || statuses[http.StatusOK]+statuses[http.StatusServiceUnavailable]+statuses[0] != requests {
		t.Errorf("the answers: %v", statuses)
	}
}
