# Everything a developer runs. Needs Python 3.11+ with venv, make, and a network to the package registries; nothing else.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
UV := $(shell command -v uv || echo $(BIN)/uv)
# One more than the processors that we count on: with two, a quarter of their time goes unused (15.9 minutes, not 12.7).
PYTEST_WORKERS ?= 3

MINUTES ?= 30

.PHONY: help install demo bench bench-functions bench-latency bench-sinks soak crash-simulation test test-unit test-long browser promtool check format lint language types imports lock bench-lock docs-reference bench-sandbox bench-setup bench-cluster bench-data-source bench-fleet-e2e bench-groups docs pictures notebooks package release-check clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## Everything into the checkout, by the lock file

$(VENV)/.installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed. Install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x "$(UV)" || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

demo: install ## The tutorial, end to end, on a local sandbox; draws it into demo.html
	$(BIN)/pacifictool demo --report demo.html

test: install browser promtool ## All tests but the long ones
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile

test-unit: install ## The tests that start no process: less than a minute
	$(BIN)/python -m pytest tests/unit -n 3 --dist loadfile

test-long: install ## Clusters, clocks and faults at random: what takes too long for every change
	$(BIN)/python -m pytest -m long

browser: ## Chromium for the browser tests, installed if it is missing
	@scripts/system_tool.sh chromium chromium chromium-browser google-chrome >/dev/null

promtool: ## Prometheus' check of alert rules, unpacked into build/tools if it is missing
	@scripts/unpack_tool.sh prometheus usr/bin/promtool build/tools

check: format lint language types imports docs test package ## What CI runs

format: install
	$(BIN)/ruff format --check .

lint: install
	$(BIN)/ruff check .

language: install ## Words that the project does not use (scripts/language.toml)
	$(BIN)/python scripts/check_language.py

types: install
	$(BIN)/mypy

imports: install
	$(BIN)/lint-imports

lock: ## Newest versions that fit, with hashes and without any registry's address
	$(UV) pip compile --quiet pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --custom-compile-command "make lock" -o requirements.lock

bench-lock: ## The same for what `make bench` compares with: the group `bench`
	$(UV) pip compile --quiet --group bench --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --custom-compile-command "make bench-lock" -o benchmarks/requirements.lock

bench: install ## Compared with other tools, BENCH=part or all: docs/performance.md (40 minutes; QUICK=1: 6). Needs mosquitto, Maven, a JDK
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick,--docs) $(BENCH)

bench-latency: install ## How soon after a window's end its mean is readable (5 minutes)
	$(BIN)/python benchmarks/latency.py

docs: install ## The documentation as pages, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-reference: install ## docs/cli.md and docs/scenario.md, from the commands and the model themselves
	$(BIN)/python scripts/generate_cli_reference.py
	$(BIN)/python scripts/generate_scenario_reference.py

pictures: install ## docs/pictures/demo.svg, report.svg and watch.svg, from real runs (3 minutes)
	$(BIN)/python scripts/record_demo.py

notebooks: install ## docs/pictures/explore.svg and train_and_deploy.svg, from runs of the notebooks (2 minutes)
	$(BIN)/python -m tests.support.notebooks

package: install ## Wheel and sdist in dist/, installed and tried in an empty environment
	$(BIN)/python scripts/check_package.py

release-check: install ## Whether this tree can be released: version, changelog, docs, package, every Python here
	NO_MKDOCS_2_WARNING=1 $(BIN)/python scripts/check_release.py

soak: install ## Random faults for MINUTES=30, every window compared
	$(BIN)/python -m tests.support.fault_schedule --minutes $(MINUTES)

CASES ?= 300
SEED ?= $(shell date +%s)
crash-simulation: install ## CASES=300 power cuts of a recorded run, every window compared
	@scripts/system_tool.sh strace strace >/dev/null
	$(BIN)/python -m tests.support.crash_simulation --cases $(CASES) --seed $(SEED)

bench-sinks: install ## 10,000 zones in one window, by each sink
	$(BIN)/python benchmarks/sinks.py

bench-groups: install ## 10,000 groups: rates, processor seconds by thread, every mean checked (5 minutes)
	$(BIN)/python -m benchmarks.groups

bench-sandbox: install ## How many readings a second the sandbox takes, both generations
	$(BIN)/python benchmarks/sandbox.py

bench-setup: install ## 10,000 devices with attributes, against a loop by hand
	$(BIN)/python benchmarks/setup.py

bench-cluster: install ## The aggregation with one and two executors, one to four partitions
	$(BIN)/python benchmarks/cluster.py

bench-data-source: install ## Spark reads a million points, against a loop by hand
	$(BIN)/python benchmarks/data_source.py

bench-functions: install ## 1,000 groups of 100 readings through a function on Spark's workers
	$(BIN)/python -m benchmarks.functions
	$(BIN)/python -m benchmarks.functions_live

bench-fleet-e2e: install ## 1,000 turbines x 10 Hz for 5 minutes: is every reading in the topic?
	$(BIN)/python benchmarks/end_to_end.py

clean: ## Back to a fresh clone
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache test-artifacts dist build
