module gotimeout/strategies/bench

go 1.26.0

require (
	github.com/eapache/go-resiliency v1.7.0
	github.com/failsafe-go/failsafe-go v0.9.8
	github.com/go-chi/chi/v5 v5.5.0
	github.com/mccutchen/go-httpbin/v2 v2.26.0
	golang.org/x/sync v0.24.0
	gotimeout v0.0.0
)

require github.com/bits-and-blooms/bitset v1.24.4 // indirect

replace gotimeout => ../..
