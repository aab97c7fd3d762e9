package backends

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// parseDelay reads a Go duration ("300ms") or plain seconds ("0.3"), as httpbin does, of at least 0 and at most longest.
func parseDelay(text string, longest time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, fmt.Errorf("bad duration %.40q: write 300ms, 1.5s or plain seconds", text)
		}
		if !(seconds <= longest.Seconds()) { // also true of NaN; and seconds beyond the cap may not fit a Duration
			return 0, fmt.Errorf("duration %.40q is over the cap of %s", text, longest)
		}
		d = time.Duration(max(seconds, -1) * float64(time.Second))
	}
	switch {
	case d < 0:
		return 0, fmt.Errorf("duration %.40q is negative", text)
	case d > longest:
		return 0, fmt.Errorf("duration %.40q is over the cap of %s", text, longest)
	}
	return d, nil
}

// pause waits for d, or returns ctx's cause when that comes first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
