# Audience Manager: every command of the repository. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help up down status logs reset check test differential mutation faults
.PHONY: bench bench-latency bench-ingest bench-api bench-history lock setup
SHELL := /bin/sh

PYTHON_ENV := .venv/bin
LOCAL := $(PYTHON_ENV)/python -m local
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

check: setup ## Format, lint, types, import rules, unit and conformance tests: under 2 minutes
	@$(PYTHON_ENV)/ruff format --check .
	@$(PYTHON_ENV)/ruff check .
	@$(PYTHON_ENV)/mypy
	@$(PYTHON_ENV)/lint-imports
	@$(PYTEST) -n auto tests/unit tests/conformance tests/oracle

test: check ## check, then everything that needs the real parts, which it starts by itself: under 15 minutes
	@sh local/bootstrap.sh --tests
	@$(PYTEST) tests/integration

differential: setup ## The engine beside the oracle on random pairs: make differential COUNT=1000000 FIRST=1
	@$(PYTHON_ENV)/python -m tests.differential --first $(FIRST) --count $(COUNT)

mutation: setup ## Which mutants of rules and engine the tests let live: make mutation MUTANTS="audience.rules.dates*"; hours
	@nice $(PYTHON_ENV)/mutmut run $(MUTANTS)

faults: setup ## Kill parts under load and compare every result; slow
	@$(PYTEST) tests/faults

bench: bench-latency bench-ingest bench-api bench-history ## Everything below that measures

bench-latency: setup ## Event to membership, and due time to exit, on the platform of `make up`
	@$(PYTHON_ENV)/python -m load_tests.latency --json load_tests/reports/latency.json

bench-ingest: setup ## Events a second into one process of ingest-api, beside the platform of `make up`
	@$(PYTHON_ENV)/python -m load_tests.bench_ingest --runs 5 --seconds 6 --report load_tests/reports/ingest

bench-api: setup ## Reads of one process of segment-api over a million profiles, beside the platform of `make up`
	@$(PYTHON_ENV)/python -m load_tests.bench_api --report load_tests/reports/api

bench-history: setup ## Preview over ten million archived events, beside the platform of `make up`
	@$(PYTHON_ENV)/python -m load_tests.bench_history --report load_tests/reports/history

lock: setup ## Write the lock files anew from pyproject.toml
	@UV="$$(sh local/bootstrap.sh --print-uv)" sh locks/compile.sh

setup: ## Install what the other commands need; done already, it takes no time
	@sh local/bootstrap.sh
