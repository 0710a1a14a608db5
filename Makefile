# Two words for a newcomer: `make demo` and `make test`. Each installs its own needs.
PY := .venv/bin/python

.PHONY: help demo test check fix simulate fuzz bench failover-bench clean
help:
	@echo "make demo      a whole instance on this machine: copies, compares, kills the master, goes on"
	@echo "make test      the test suite"
	@echo "make check     all that CI runs"
	@echo "make fix       format and mend what the linters can"
	@echo "make simulate  the simulated cluster, SEED=1 COUNT=1"
	@echo "make fuzz      every parser, INPUTS=1000000"
	@echo "make bench     beside native xrootd"
	@echo "make failover-bench  hosts in network namespaces, CASES=kill,hostgone RUNS=20 JSON=file"

demo:
	@scripts/setup run
	@.venv/bin/thesan demo run

test:
	@scripts/setup test
	@$(PY) -m pytest -n 2 --dist loadgroup -q $(ARGS)

check:
	@.ci/run

fix:
	@scripts/setup test
	@.venv/bin/ruff check --fix src tests benchmarks
	@.venv/bin/ruff format src tests benchmarks

SEED ?= 1
COUNT ?= 1
simulate:
	@scripts/setup run
	@.venv/bin/thesan simulate --seed $(SEED) --count $(COUNT) --story

INPUTS ?= 1000000
fuzz:
	@scripts/setup test
	@$(PY) tests/fuzz/fuzz_wire.py --inputs $(INPUTS)

bench:
	@scripts/setup test
	@$(PY) -m benchmarks

CASES ?= kill,hostgone,handover,stop,engine-leader,partition-engine,partition-full,busy
RUNS ?= 20
failover-bench:
	@scripts/setup test
	@$(PY) -m benchmarks.failover --cases $(CASES) --runs $(RUNS) $(if $(JSON),--json $(JSON))

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
