# Audience Manager: every command of the repository. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help up down status logs reset check test differential mutation faults
.PHONY: demo-up demo-down demo-status demo-logs cluster-prepare chart test-cluster
.PHONY: bench bench-latency bench-ingest bench-api lock setup
SHELL := /bin/sh

PYTHON_ENV := .venv/bin
LOCAL := $(PYTHON_ENV)/python -m local
CLUSTER := $(PYTHON_ENV)/python -m local.cluster
PYTEST := $(PYTHON_ENV)/python -m pytest
# Any part of `make status`; `make logs` without it lists them.
PART ?=
# How many random pairs `make differential` compares, and the number of the first.
COUNT ?= 1000000
FIRST ?= 1
# Which mutants `make mutation` tries; all of them without it.
MUTANTS ?=

help: ## List these commands
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do \
		printf '  make %-14s %s\n' "$$name" "$$what"; done

up: setup ## Set up, start the platform, send the sample history once, print the segments
	@$(LOCAL) up

down: ## Stop the platform; its data stays
	@test ! -x $(PYTHON_ENV)/python || $(LOCAL) down

status: setup ## Show each part: health, address, memory, restarts, consumer lag
	@$(LOCAL) status

logs: setup ## Follow the log of one part: make logs PART=kafka
	@$(LOCAL) logs $(PART)

reset: setup ## Stop the platform and remove its data; it says what it removes
	@$(LOCAL) reset

demo-up: setup ## Install the demo on the cluster of KUBECONFIG, send the sample history, print the segments
	@$(CLUSTER) up

demo-down: setup ## Remove the demo from the cluster; it keeps nothing
	@$(CLUSTER) down

demo-status: setup ## Show each pod of the demo: ready, restarts, consumer lag
	@$(CLUSTER) status

demo-logs: setup ## Follow the log of one part of the demo: make demo-logs PART=flink
	@$(CLUSTER) logs $(PART)

cluster-prepare: setup ## Apply what a cluster needs before a production install: k8s/
	@$(CLUSTER) prepare

chart: setup ## Write the chart's values.schema.json anew from its types
	@$(PYTHON_ENV)/python -m local.chart.schema

check: setup ## Format, lint, types, import rules, unit and conformance tests: under 2 minutes
	@$(PYTHON_ENV)/ruff format --check .
	@$(PYTHON_ENV)/ruff check .
	@$(PYTHON_ENV)/mypy
	@$(PYTHON_ENV)/lint-imports
	@$(PYTEST) -n auto tests/unit tests/conformance tests/oracle

test: check ## check, then everything that needs the real parts, which it starts by itself: under 15 minutes
	@sh local/bootstrap.sh --tests
	@$(PYTEST) tests/chart
	@$(PYTEST) tests/integration

test-cluster: setup ## The demo and the production overlay on the cluster of KUBECONFIG: tests/cluster; slow
	@$(PYTEST) tests/cluster

differential: setup ## The engine beside the oracle on random pairs: make differential COUNT=1000000 FIRST=1
	@$(PYTHON_ENV)/python -m tests.differential --first $(FIRST) --count $(COUNT)

mutation: setup ## Which mutants of rules and engine the tests let live: make mutation MUTANTS="audience.rules.dates*"; hours
	@nice $(PYTHON_ENV)/mutmut run $(MUTANTS)

faults: setup ## Kill parts under load and compare every result; slow
	@$(PYTEST) tests/faults

bench: bench-latency bench-ingest bench-api ## Everything below that measures

bench-latency: setup ## Event to membership, and due time to exit, on the platform of `make up`
	@$(PYTHON_ENV)/python -m load_tests.latency --json load_tests/reports/latency.json

bench-ingest: setup ## Events a second into one process of ingest-api, beside the platform of `make up`
	@$(PYTHON_ENV)/python -m load_tests.bench_ingest --runs 5 --seconds 6 --report load_tests/reports/ingest

bench-api: setup ## Reads of one process of segment-api over a million profiles, beside the platform of `make up`
	@$(PYTHON_ENV)/python -m load_tests.bench_api --report load_tests/reports/api

lock: setup ## Write the lock files anew from pyproject.toml
	@UV="$$(sh local/bootstrap.sh --print-uv)" sh locks/compile.sh

setup: ## Install what the other commands need; done already, it takes no time
	@sh local/bootstrap.sh
