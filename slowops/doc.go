// Package slowops holds the slow work of the lab: a GET to an httpbin, a
// memcached get, a MySQL query and a computation, each with the client that Go
// programs use for it, and each able to run aware (it honours its context) or
// deaf (it ignores it).
//
// No timeout or pool limit that a library ships with is left in force, because
// it would be taken for the strategy's: what bounds a call is its context, its
// IOTimeout, or nothing. The package starts no retries, logs nothing and knows
// nothing of strategies.
package slowops
