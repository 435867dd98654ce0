# The recipes that people, hooks and CI share. `make` lists them. Every recipe does its own set-up.

# The first Python that is new enough; `make PYTHON=...` takes another.
PYTHON ?= $(or $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; \
	done),$(error alfred needs Python 3.11 or newer, and none is on the PATH: \
	install one, or name it, as in `make setup PYTHON=/path/to/python3.13`))
BIN := .venv/bin
# One more than there are processors: a fifth of the time of the tests is waiting, for a clock, a disk or a server.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
PYTEST = $(BIN)/pytest -n $(WORKERS)
ARGS ?=
# The rewritten assertions of the tests are kept from session to session, whatever the account says: 3 s for each process.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-slow test-all crash mutants check format lock bench hooks clean

help: ## Lists what can be made.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Makes .venv with everything, from the lock; .venv/bin/alfred is the program.
	@$(PYTHON) scripts/setup.py

demo: setup ## Runs the main job on the repository that you stand in, kills it in the middle and resumes it.
	@$(BIN)/alfred demo $(ARGS)

# The assertions of the tests are rewritten once in a fresh clone, not once by each worker: 9 s of work each time.
tests/unit/__pycache__: | setup
	@for part in tests/unit "tests/crash tests/flows tests/house tests/ledger tests/promises tests/slow"; do \
		$(BIN)/pytest -n 0 --collect-only -q $$part > /dev/null 2>&1 & \
	done; wait

test: setup tests/unit/__pycache__ ## Runs all tests; those whose programs are missing say so.
	$(PYTEST) --durations=10 $(ARGS)

test-fast: setup tests/unit/__pycache__ ## Runs the tests that take milliseconds each (under a minute in all).
	$(PYTEST) -m "not slow" tests/house tests/ledger tests/promises tests/unit $(ARGS)  # all that is elsewhere is slow

test-slow: setup tests/unit/__pycache__ ## Runs the tests with real processes that are killed, stopped and restarted.
	$(PYTEST) -m slow --durations=10 $(ARGS)

test-all: export ALFRED_TEST_ALL = 1
test-all: test ## Runs all tests and fails when one is skipped.

crash: export ALFRED_CRASH_POINTS = all
crash: setup ## Kills the program at every statement of every story (the tests take what leaves something new behind).
	$(PYTEST) -m crash --timeout=3600 $(ARGS)

mutants: setup ## Takes each guard out in turn and fails when its test does not notice.
	$(BIN)/python scripts/mutants.py $(ARGS)

check: setup ## Lint, format, types, import floors, dependencies, locks: what is no test.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyrefly check
	$(BIN)/lint-imports
	$(BIN)/deptry src
	@$(PYTHON) scripts/setup.py --check

format: setup ## Formats the code and mends what lint can mend.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: ## Renews the pinned versions within the bounds of pyproject.toml.
	@$(PYTHON) scripts/setup.py --lock

bench: ## Compares alfred with its peers, side by side on both databases, in an environment of its own.
	@$(PYTHON) scripts/setup.py --bench
	.venv-bench/bin/python -m bench $(ARGS)

hooks: setup ## Makes git check the format, lint and floors before each commit.
	$(BIN)/prek install

clean: ## Removes what set-up and tests have made.
	rm -rf .venv .venv-bench .tools dist build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
