# `make` alone lists the targets. `make demo` and `make test` are all a newcomer needs.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export SQLMESH__DISABLE_ANONYMIZED_ANALYTICS := true

.DEFAULT_GOAL := help

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt scripts/environment.py
	$(PYTHON) scripts/environment.py $(VENV)
	@touch $(READY)

setup: $(READY)  ## Create the environment

demo: $(READY)  ## Run the whole pipeline on synthetic data
	$(BIN)/edpipe demo

check: $(READY)  ## Lint, types, import rules, SQL, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@home=$$(mktemp -d) && trap "rm -rf $$home" EXIT && \
		EDPIPE_HOME=$$home $(BIN)/sqlmesh --paths sql --log-file-dir $$home lint && echo "SQL models: no finding."
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md docs edpipe models flows sql tests benchmarks scripts notebooks

browser:  ## Install Chromium for the report's test, where this machine can
	@$(PYTHON) scripts/browser.py

test: check browser  ## Everything that must pass: checks and the default tests
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 4 --dist loadscope

test-slow: $(READY)  ## Tests that take minutes
	$(BIN)/pytest -m slow --timeout 3600

test-gpu: $(READY)  ## Tests that need a CUDA device
	$(BIN)/pytest -m gpu

fix: $(READY)  ## Format and repair what can be repaired
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## Side-by-side measurements, into benchmarks/results
	$(BIN)/python benchmarks/ingest.py
	$(BIN)/python benchmarks/warehouse.py
	$(BIN)/python benchmarks/tutor_ingest.py
	$(BIN)/python benchmarks/embeddings.py
	$(BIN)/python benchmarks/mvec.py

lock: $(READY)  ## Pin what is installed, so that two installs are equal
	$(BIN)/python scripts/lock.py > constraints.txt

env:  ## Write .env with random secrets for the servers; what is there is kept
	@$(PYTHON) scripts/env_file.py
	@touch edpipe.toml && mkdir -p logs

up: env  ## Start PostgreSQL, Prefect, MLflow and a worker in containers, and wait until all are well
	@command -v docker >/dev/null || { echo "Docker with its compose plugin is needed; docs/how-to/deploy.md also says how to do without."; exit 1; }
	docker compose up --build --detach --wait
	docker compose ps

down:  ## Stop the servers; what they keep stays
	docker compose down

clean:  ## Remove the environment and caches; data stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache

.PHONY: help setup demo check browser test test-slow test-gpu fix bench lock env up down clean
