# What a person types. Everything is idempotent; the work is done by scripts/.
PYTHON := .venv/bin/python
PRODUCT := agent aggregator cli telemetry
BENCH := aggregator impact agent_memory start kernel_cost

.PHONY: help setup up down test check lint proto bench demo lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup:  ## what the product needs: distribution packages, .venv, the plumb command
	@scripts/setup

up: setup  ## start agent and aggregator on this machine, and say where to look
	@scripts/daemons up

down:  ## end what `make up` began
	@scripts/daemons down

test: .setup-dev lint  ## everything that needs no Kubernetes: lint, unit, this kernel, the miniature cluster
	@$(PYTHON) -m pytest

check: .setup-dev lint  ## the fast part of it: lint and unit
	@$(PYTHON) -m pytest tests/unit

lint: .setup-dev  ## ruff, strict mypy, walls and doors, buf
	@scripts/lint

proto: .setup-dev  ## generate the contract's Python code
	@scripts/proto

bench: .setup-dev  ## measure what the product costs (docs/performance.md): root, a quarter of an hour
	@for name in $(BENCH); do echo "== $$name"; $(PYTHON) -m bench.$$name || exit; done

demo: .setup-dev  ## a shop on two hosts in the miniature cluster, live, until Ctrl-C
	@$(PYTHON) -m tests.cluster.demo

lock:  ## choose the pinned versions anew
	@scripts/lock

clean: down  ## remove what was installed and built in this checkout
	@rm -rf .venv .run tests/*/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.PHONY: .setup-dev
.setup-dev:
	@scripts/setup dev
