.PHONY: help test docs pictures race fuzz bench flood faults soak results atlas servers ci

help:
	@echo "make test      go test ./...: needs nothing but Go"
	@echo "make docs      write the made tables and the printed output in the docs again"
	@echo "make pictures  take the pictures of the page again (needs Chromium)"
	@echo "make race      the tests under the race detector"
	@echo "make fuzz      fuzz every parser for 20 s, and count the inputs tried (ten minutes)"
	@echo "make bench     measure the tables of docs/benchmarks.md again (25 minutes)"
	@echo "make flood     measure what a lab answers to five times its load, and what abuses cost (7 minutes)"
	@echo "make faults    count what is lost while backends, network and machine fail (13 minutes)"
	@echo "make soak      measure by how much a lab grows under a steady load (10 minutes)"
	@echo "make results   measure the tables and pictures of docs/compare.md again"
	@echo "make atlas     run the atlas again, and write docs/atlas.md and its page (5 minutes)"
	@echo "make servers   start a real memcached and MariaDB for the tests"
	@echo "make ci        everything that must hold before a change goes in"

test:
	go test ./...

docs:
	GOTIMEOUT_DOCS=all go test ./cmd/gotimeout -run TestDocs -update

pictures:
	GOTIMEOUT_CHROMIUM=require go test ./cmd/gotimeout -run TestPictures -update

race:
	go test -race ./...

fuzz:
	scripts/fuzz

bench:
	scripts/bench

flood faults soak:
	scripts/bench $@

results:
	scripts/results

atlas:
	scripts/atlas

servers:
	@scripts/servers start

ci:
	.ci/run
