.PHONY: help test race bench bench-network bench-compare results ci servers

help:
	@echo "make test      go test ./..., nothing needed beside Go"
	@echo "make race      the same under the race detector"
	@echo "make bench     the benchmarks of the strategies"
	@echo "make bench-network  those of the bad networks"
	@echo "make bench-compare  those of compare and the receipts"
	@echo "make results   the README's comparison, run anew"
	@echo "make servers   start a real memcached and MariaDB for the tests"
	@echo "make ci        everything that must hold before a change goes in"

test:
	go test ./...

race:
	go test -race ./...

bench:
	scripts/bench

bench-network:
	scripts/bench-network

bench-compare:
	scripts/bench-compare

results:
	scripts/results

ci:
	.ci/run

servers:
	@scripts/servers start
