# What a person types. Everything is idempotent; the work is done by scripts/.
PYTHON := .venv/bin/python
PRODUCT := agent aggregator cli telemetry
# So many processes for what needs no kernel: most of it waits.
BESIDE := -n 3

.PHONY: help setup up down install test test-cluster test-long check lint proto bench demo lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup:  ## what the product needs: distribution packages, .venv, the plumb command
	@scripts/setup

up: setup  ## start agent and aggregator on this machine, and say where to look
	@scripts/daemons up

down:  ## end what `make up` began
	@scripts/daemons down

install:  ## for systemd: into /opt/plumbline, with units (DESTDIR=DIR: only lay the files out there)
	@scripts/install

test: .setup-dev lint  ## everything that needs no Kubernetes: lint, unit, this kernel, the miniature cluster
	@$(PYTHON) -m pytest $(BESIDE) -m "not kernel and not cluster"
	@$(PYTHON) -m pytest -m "kernel or cluster"

test-cluster: .setup-cluster  ## the shipped images and chart in a real Kubernetes, of KUBECONFIG or its own
	@$(PYTHON) -m pytest -m kubernetes -s tests/kubernetes

test-long: .setup-long  ## what takes too long for make test: soak, fault runs, other kernels; root, about an hour
	@$(PYTHON) -m pytest -m long

check: .setup-dev lint  ## the fast part of it: lint and unit
	@$(PYTHON) -m pytest $(BESIDE) tests/unit

lint: .setup-dev  ## ruff, strict mypy, walls and doors, buf
	@scripts/lint

proto: .setup-dev  ## generate the contract's Python code
	@scripts/proto

bench: .setup-dev  ## measure what the product costs (docs/performance.md): root, a quarter of an hour
	@$(PYTHON) -m bench.table

demo: .setup-dev  ## a shop on two hosts in the miniature cluster, live, until Ctrl-C
	@$(PYTHON) -m tests.cluster.demo

lock:  ## choose the pinned versions anew
	@scripts/lock

clean: down  ## remove what was installed and built in this checkout
	@rm -rf .venv .run tests/*/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.PHONY: .setup-dev .setup-cluster .setup-long
.setup-dev:
	@scripts/setup dev

.setup-cluster:
	@scripts/setup cluster

.setup-long:
	@scripts/setup long
