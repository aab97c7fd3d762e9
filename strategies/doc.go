// Package strategies holds the ways a caller in Go can bound its wait for slow
// work, each as one function with the same signature, so that they can be
// compared and swapped.
//
// A strategy decides when to stop waiting. It cannot stop the work: no
// goroutine can be killed or made to panic from outside
// (https://go.dev/issue/25664, https://go.dev/issue/27960), so what the work
// does after the answer depends on whether it honours its context. The doc of
// each strategy says what it leaves behind in either case.
//
// The package knows nothing of HTTP, receipts or backends, starts no goroutine
// that outlives both its caller and its ops, and never retries.
package strategies
