# One environment (.venv), one lock (requirements.lock), plain pip. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell command -v python3.11 || echo python3)
BIN := .venv/bin
STAMP := .venv/.installed

# Both stores are in the checkout unless the caller has chosen another place.
ifeq ($(strip $(DAGSTER_HOME)),)
override DAGSTER_HOME := $(CURDIR)/.dagster_home
endif
ifeq ($(strip $(AIQC_HOME)),)
override AIQC_HOME := $(CURDIR)/.aiqc
endif
# Keras writes its settings file on import, to the user's home by default.
ifeq ($(strip $(KERAS_HOME)),)
override KERAS_HOME := $(AIQC_HOME)/keras
endif
export DAGSTER_HOME AIQC_HOME KERAS_HOME
export DAGSTER_DISABLE_TELEMETRY := yes
export TF_CPP_MIN_LOG_LEVEL ?= 2
# What a command starts ends with it, and it ends with make, whatever ends that.
TIED := $(BIN)/python tests/support/tied.py
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder
# Else each of the many processes of a run compiles our modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo gallery test test-fast test-stories faults race soak lint format ui bench install lock clean up-celery down-celery

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## make .venv from the lock (the other targets do it when it is needed)

# Debian's python3 without the package python3-venv cannot put pip into an environment; its pip can.
new_environment = $(PYTHON) -m venv --clear $(1) 2>/dev/null || { \
  $(PYTHON) -m venv --clear --without-pip $(1) && \
  $(PYTHON) -m pip --python $(1)/bin/python install --quiet pip; }

# pip's own settings say where packages come from; the lock says which.
$(STAMP): requirements.lock pyproject.toml
	@test -x $(BIN)/pip || $(call new_environment,.venv)
	$(BIN)/pip install --disable-pip-version-check --quiet -r requirements.lock
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --editable .
	@touch $@

demo: $(STAMP) | .stores ## train the breast_cancer experiment through Dagster and show its leaderboard
	@$(TIED) $(BIN)/python examples/demo.py

gallery: $(STAMP) | .stores ## write docs/gallery: every figure of the demo experiments
	$(TIED) $(BIN)/python docs/make_gallery.py $(ARGS)

ui: $(STAMP) | .stores ## open Dagster's UI and start its daemon (Ctrl-C ends both)
	@$(TIED) $(BIN)/dagster dev -w workspace.yaml

# Ports by REDIS_PORT, POSTGRES_PORT, UI_PORT; the folder by ARGS='--folder DIR'.
up-celery: $(STAMP) ## start Redis, PostgreSQL, two Celery workers, webserver and daemon
	@$(BIN)/python deploy/celery/services.py up $(ARGS)

down-celery: $(STAMP) ## end what up-celery started
	@$(BIN)/python deploy/celery/services.py down $(ARGS)

# The tests bring their own stores; ARGS goes to pytest: make test ARGS='tests/stages/split -x'
test: $(STAMP) | .programs ## run the tests, but for the long stories (ARGS='-n 0' in one process)
	@$(TIED) $(PYTEST) -m 'not story' $(ARGS)

test-fast: $(STAMP) ## run the tests that need no process, server or browser, in two minutes
	@$(TIED) $(PYTEST) -m 'not slow and not e2e and not story' $(ARGS)

test-stories: $(STAMP) | .programs ## run the long stories: clicks, kills, every executor whole
	@$(TIED) $(PYTEST) -m story $(ARGS)

faults: $(STAMP) ## kill -9 at 200 random moments, and compare every store (ARGS='--kills 20 --seed 7')
	$(TIED) $(BIN)/python tests/faults/harness.py $(ARGS)

race: $(STAMP) ## 8 processes write one store, 500 operations each (ARGS='--operations 50')
	$(TIED) $(BIN)/python tests/race/harness.py $(ARGS)

MINUTES ?= 120
soak: $(STAMP) ## schedule ticks with changing data: what grows, in memory and on disk (MINUTES=10)
	$(TIED) $(BIN)/python bench/soak/soak.py --minutes $(MINUTES)

lint: $(STAMP) ## check format, style, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo

format: $(STAMP) ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: $(STAMP) | .stores ## run every script in bench/
	@for script in $$(grep -l '^def main' bench/*.py); do echo "== $$script"; $(TIED) $(BIN)/python "$$script" $(ARGS); done

# The newest releases that pyproject.toml allows, with every package they need. Local version
# labels (torch's +cpu) and the accelerator packages that torch pins itself stay out, so that
# one lock serves machines with and without a GPU.
lock: ## resolve pyproject.toml in a fresh environment and write requirements.lock
	@$(call new_environment,.venv-lock)
	.venv-lock/bin/pip install --disable-pip-version-check --quiet '.[all,dev]'
	@{ echo "# Written by 'make lock' from pyproject.toml; do not edit."; \
	  .venv-lock/bin/pip freeze --exclude aiqc-dagster \
	    | sed -E 's/\+[^ ]+$$//' | grep -vE '^(nvidia-([^m]|m[^l])|cuda|triton)'; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock && rm -rf .venv-lock build ./*.egg-info
	@wc -l requirements.lock

clean: ## remove the environment, the stores in the checkout and what tools left
	@test ! -e .celery/env || $(BIN)/python deploy/celery/services.py down
	rm -rf .venv .venv-lock .aiqc .celery build dist ./*.egg-info artifacts
	rm -rf .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find .dagster_home -mindepth 1 ! -name dagster.yaml -delete
	find aiqc_core aiqc_dagster tests -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: .stores .programs
# Debian's chromium, redis-server and postgresql: installed where this user may.
.programs: $(STAMP)
	@$(BIN)/python tests/support/programs.py

.stores:
	@mkdir -p "$$DAGSTER_HOME" "$$AIQC_HOME"
	@test -e "$$DAGSTER_HOME/dagster.yaml" || cp .dagster_home/dagster.yaml "$$DAGSTER_HOME/"
