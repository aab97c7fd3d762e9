//go:build unix

package lab

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// filesLimit returns how many files this process may have open, 0 for no limit. Go has raised the soft limit
// to the hard one at the start, and gives a child the soft one again: https://go.dev/issue/46279.
func filesLimit() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("the limit of open files can't be read: %w", err)
	}
	if uint64(limit.Cur) > math.MaxInt32 {
		return 0, nil
	}
	return int(limit.Cur), nil
}
