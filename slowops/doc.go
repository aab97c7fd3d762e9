// Package slowops holds the slow work of a lab about timeouts: a GET of an httpbin,
// a memcached get, a MySQL or PostgreSQL query, a Redis command, a gRPC call and a computation. Each op uses the client
// that Go programs use for that work. An op can make a call of your own instead: your
// request, key, statement or method, or any program.
//
// A [Call] says how slow the work is and whether the op is aware or deaf. An aware
// op returns soon after its context is done. A deaf op ignores its context.
//
//	op := slowops.NewHTTP("http://127.0.0.1:8080", 0)
//	defer op.Close()
//	ctx, cancel := context.WithTimeout(ctx, time.Second)
//	defer cancel()
//	err := op.Do(ctx, slowops.Call{Delay: 5 * time.Second, Run: "a-tag"})
//
// An [Observer] in the call gets the connections and phases of the call.
// An error that has a name, such as a connection that was refused, is a [*Failure].
//
// The package turns off every timeout and pool limit that a library has by default,
// since a reader would mistake such a timeout for the strategy's. A call is bounded
// by its context, by the timeouts in the Call, or not at all. The package never
// retries, logs nothing and knows no strategy.
package slowops
