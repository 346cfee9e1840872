# Two commands for a newcomer: `make demo` and `make test`. Needs Python 3.11 or 3.12, make, git.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The first Python that really runs and is of a version that Flink's package supports.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null \
	&& echo $$p && break; done)
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready

##@ Use
.PHONY: demo up down clean
demo: $(READY) ## Start everything, stream a simulated market through it, build gold, run the checks
	@$(RUN)/ticklake demo

up: $(READY) ## Start PostgreSQL, Kafka, Flink and Trino
	@$(RUN)/ticklake up

down: ## Stop all servers; the data stays
	@if [ -x $(RUN)/ticklake ]; then $(RUN)/ticklake down; fi

clean: down ## Stop all and remove the data and the environment; downloads stay in the cache
	rm -rf .ticklake $(VENV)

##@ Develop
.PHONY: setup check test test-unit test-integration test-faults faults generate lock bench bench-rivals
setup: $(READY) ## Make the environment from the hashed lock

check: $(READY) ## Lint, format, types, import directions
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports

test: check test-unit test-integration test-faults ## All of it: checks, unit tests, tests against real servers, faults

test-unit: $(READY) ## Tests without servers, under 2 minutes
	$(RUN)/pytest -q -n auto -m "not integration and not faults and not soak"

test-integration: $(READY) ## Tests against real servers, started on free ports in a temporary folder
	$(RUN)/pytest -q -m integration --durations=12

test-faults: $(READY) ## Kill servers, cut lines, mislead clocks: nothing is lost, nothing doubled
	$(RUN)/pytest -q tests/faults -m "faults and not slow" --durations=5

SEEDS ?= 1
FIRST_SEED ?= 1
STACKS ?= 2
TABLE ?=
faults: $(READY) ## All scenarios, SEEDS times each, on STACKS stacks; TABLE=FILE keeps the table of results
	$(RUN)/pytest -q tests/faults -m faults --seeds $(SEEDS) --first-seed $(FIRST_SEED) \
		-n $(STACKS) --dist loadfile \
		$(if $(TABLE),--faults-table $(TABLE))

generate: $(READY) ## Rewrite the committed files that follow from the declaration
	$(RUN)/python -m connectors.schemas
	$(RUN)/python -m ticklake.external_models
	$(RUN)/python -m ticklake.plans

bench: $(READY) ## Events per CPU-second: parse only, bronze only, the full job
	$(RUN)/python benchmarks/full_job.py

bench-rivals: $(READY) ## The full job and what one would write instead, on the same topic in one run
	$(RUN)/uv pip install --quiet --target build/rivals --no-deps --require-hashes \
		-r benchmarks/rivals/requirements.lock
	$(RUN)/uv pip install --quiet --target build/spark --no-deps --no-build-isolation --require-hashes \
		-r benchmarks/rivals/spark_requirements.lock
	PYTHONPATH=build/rivals $(RUN)/python benchmarks/rivals/compare.py

lock: $(READY) ## Resolve the dependencies anew: Python's into requirements.lock, jars into jars.lock.toml
	$(RUN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --group dev pyproject.toml -o requirements.lock
	$(RUN)/python -m ticklake.local.lock
	for name in requirements spark_requirements; do \
		$(RUN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --no-header benchmarks/rivals/$$name.in -o benchmarks/rivals/$$name.lock; done
	$(RUN)/python benchmarks/rivals/spark_jars.py

$(READY): requirements.lock requirements.bootstrap.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "Python 3.11 or 3.12 is needed and none was found; install one, or say make PYTHON=/path/to/python3.11" >&2; \
		exit 2; fi
	@echo "Making $(VENV) with $$($(PYTHON) --version) from the hashed lock"
	@$(PYTHON) -m venv $(VENV)
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.bootstrap.lock
	@$(RUN)/uv pip sync --python $(RUN)/python --require-hashes requirements.lock requirements.bootstrap.lock
	@$(RUN)/uv pip install --quiet --python $(RUN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: help
help: ## Show this
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*##/ {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
