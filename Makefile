# Audience Manager: every command of the repository. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help up down status logs reset check test differential mutation mutation-engine faults
.PHONY: demo-up demo-down demo-status demo-logs cluster-prepare chart test-cluster load-demo shop capacity
.PHONY: bench bench-compare bench-engine bench-latency bench-ingest bench-api bench-history bench-backfill bench-peers
.PHONY: lock setup setup-load setup-peers
.PHONY: job-savepoint job-upgrade job-rescale
.PHONY: bench-job bench-platform
SHELL := /bin/sh

PYTHON_ENV := .venv/bin
LOCAL := $(PYTHON_ENV)/python -m local
CLUSTER := $(PYTHON_ENV)/python -m local.cluster
PYTEST := $(PYTHON_ENV)/python -m pytest
# Any part of `make status`; `make logs` without it lists them.
PART ?=
# Subtasks of the streaming job after `make job-rescale`.
PARALLELISM ?= 2
# How many random pairs `make differential` compares, and the number of the first.
COUNT ?= 1000000
FIRST ?= 1
# An install to drive (`make load-demo`); empty: that of `make up`. AUDIENCE_WRITE_KEY and AUDIENCE_API_TOKEN open it.
TARGET ?=
SCENARIO ?= demo
# Options of load_tests.scenarios, load_tests.shop, load_tests.bench or tests.engine_mutants: make load-demo ARGS="--seconds 300 --rate 1000"
ARGS ?=
# Two results for `make bench-compare`.
A ?=
B ?=
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

job-savepoint: setup ## Take a savepoint of the streaming job and print where it is
	@$(LOCAL) job savepoint

job-upgrade: setup ## Begin the streaming job again from a savepoint, with the code as it is now
	@$(LOCAL) job upgrade

job-rescale: setup ## Begin the streaming job again with other parallelism: make job-rescale PARALLELISM=1
	@$(LOCAL) job rescale $(PARALLELISM)

check: setup ## Format, lint, types, import rules, unit and conformance tests: under 2 minutes
	@$(PYTHON_ENV)/ruff format --check .
	@$(PYTHON_ENV)/ruff check .
	@$(PYTHON_ENV)/mypy
	@$(PYTHON_ENV)/mypy --explicit-package-bases tests/faults # slow, and so seldom run: what they call must still be there
	@$(PYTHON_ENV)/lint-imports
	@sh engine/check.sh
	@$(PYTEST) -n auto tests/unit tests/conformance tests/oracle

test: check ## check, then everything that needs the real parts, which it starts by itself: under 35 minutes
	@sh local/bootstrap.sh --tests
	@$(PYTEST) tests/chart
	@$(PYTEST) tests/integration

test-cluster: setup ## The demo and the production overlay on the cluster of KUBECONFIG: tests/cluster; slow
	@$(PYTEST) tests/cluster

differential: setup ## The engine beside the oracle on random pairs: make differential COUNT=1000000 FIRST=1
	@$(PYTHON_ENV)/python -m tests.differential --first $(FIRST) --count $(COUNT)

mutation: setup ## Which mutants of rules and engine the tests let live: make mutation MUTANTS="audience.rules.dates*"; hours
	@nice $(PYTHON_ENV)/mutmut run $(MUTANTS)

mutation-engine: setup ## The same for a sample of the compiled engine: make mutation-engine ARGS="--sample 300 --seed 1"; an hour
	@nice $(PYTHON_ENV)/python -m tests.engine_mutants $(ARGS)

faults: setup ## Kill parts under load and compare every result; slow
	@$(PYTEST) tests/faults

load-demo: setup-load ## Drive an install and judge it: make load-demo TARGET=http://... SCENARIO=demo ARGS="--seconds 60"
	@.venv-load/bin/python -m load_tests.scenarios $(SCENARIO) --target "$(TARGET)" $(ARGS)

shop: setup ## A shop's events to a file, a topic or over HTTP: make shop ARGS="http --rate 500 --seconds 60"
	@$(PYTHON_ENV)/python -m load_tests.shop $(ARGS)

capacity: setup ## What an install carries, by the reports of the benchmarks
	@$(PYTHON_ENV)/python -m load_tests.capacity $(ARGS)

bench: setup-load setup-peers ## Everything below that measures, in 15 minutes, and a summary in load_tests/reports
	@.venv-load/bin/python -m load_tests.bench $(ARGS)

bench-compare: setup ## What has become slower between two results: make bench-compare A=before.json B=after.json
	@$(PYTHON_ENV)/python -m load_tests.compare $(A) $(B)

bench-engine: setup-load ## The engine alone, for 10 to 5,000 rules, with a plot of the cost
	@.venv-load/bin/python -m load_tests.bench --only engine --minutes 10 --out load_tests/reports/engine

bench-backfill: setup ## Backfill of a new segment over 1,000,000 events of 100,000 profiles, on the platform of `make up`
	@$(PYTHON_ENV)/python -m load_tests.bench_backfill --report load_tests/reports/backfill $(ARGS)

bench-peers: setup setup-peers ## The streaming job beside Quix Streams on the same events and rules
	@$(PYTHON_ENV)/python -m load_tests.peers --runs 5 --report load_tests/reports/peers $(ARGS)

bench-latency: setup ## Event to membership, due time to exit, new segments, on the platform of `make up`
	@$(PYTHON_ENV)/python -m load_tests.latency --json load_tests/reports/latency.json

bench-platform: setup ## The sample again and again through the platform of `make up`: events a second, CPU by part
	@$(PYTHON_ENV)/python -m load_tests.bench_platform --runs 5 --json load_tests/reports/platform.json

bench-job: setup ## The streaming job on preloaded Kafka, on each state backend, and beside other ways to run it
	@$(PYTHON_ENV)/python -m load_tests.job.bench --report load_tests/reports/job

bench-ingest: setup ## Events a second into one process of ingest-api, on a broker of its own
	@$(PYTHON_ENV)/python -m load_tests.bench_ingest --runs 5 --seconds 6 --report load_tests/reports/ingest

bench-api: setup ## Reads of one process of segment-api over a million profiles
	@sh local/bootstrap.sh --bench
	@$(PYTHON_ENV)/python -m load_tests.bench_api --report load_tests/reports/api

bench-history: setup ## Preview over ten million archived events, beside the platform of `make up`
	@$(PYTHON_ENV)/python -m load_tests.bench_history --report load_tests/reports/history

lock: setup ## Write the lock files anew from pyproject.toml
	@UV="$$(sh local/bootstrap.sh --print-uv)" sh locks/compile.sh

setup-load: setup ## Install what drives load and draws plots
	@sh local/bootstrap.sh --load

setup-peers: setup ## Install what the job is compared with
	@sh local/bootstrap.sh --peers

setup: ## Install what the other commands need; done already, it takes no time
	@sh local/bootstrap.sh
