package samples

import "crypto/md5"

// BaselineCPU has no bound: nothing from outside can stop a loop that checks nothing
// (https://go.dev/issue/25664).
func BaselineCPU(rounds int) (sum [md5.Size]byte, err error) {
	for range rounds {
		sum = md5.Sum(sum[:])
	}
	return sum, nil
}
