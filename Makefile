# Everything a newcomer needs. `make` alone lists it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help setup up down check test test-slow bench clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMPS)/installed: pyproject.toml clients/python/pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed (Debian: apt install python3.11 python3.11-venv), or name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || { echo "== making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "== installing the pinned packages (about 2 GB, once)"
	@$(PIP) install --progress-bar on --quiet -e . -e clients/python
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/for-tests: $(STAMPS)/installed
	@echo "== installing what checks and tests need"
	@$(PIP) install --quiet -e '.[check,test,s3]' -e clients/python
	@touch $@

setup: $(STAMPS)/installed ## venv in .venv, pinned install, weights
	@$(BIN)/bestiary setup

up: $(STAMPS)/installed ## start the platform, print the URL, a key and three things to try
	@$(BIN)/bestiary up

down: ## stop the platform
	@$(BIN)/bestiary down

check: $(STAMPS)/for-tests ## format, lint, types, import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy
	@cd clients/python && ../../$(BIN)/mypy src

test: $(STAMPS)/for-tests ## the default lane, under 20 minutes
	@echo "== without the platform, two processes at a time"
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not gpu and not serve"
	@echo "== on the running platform"
	@$(BIN)/python -m pytest -m "serve and not slow and not gpu"

test-slow: $(STAMPS)/for-tests ## what takes longer: fault injection, long loads
	@$(BIN)/python -m pytest -m "slow and not gpu"

BENCHMARKS := gateway encoder_kernels encoder decoder_kernels constraints step_profile text_engine \
	seq2seq attention
bench: $(STAMPS)/for-tests ## every benchmark, with the peers that are there (BESTIARY_PEERS)
	@for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

clean: down ## the venv and caches; state under BESTIARY_HOME stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
