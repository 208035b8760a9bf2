# Lineshaft: every target sets up what it needs by itself; each may be called again at any time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.lineshaft-lock
SOURCES := agents tools workflows factory_infra api cli evals benchmarks tests
ARGS ?=
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup run test check format lock clean nightly prove-line prove-agents prove-gateway prove-machines prove-scheduling prove-control-plane

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make the virtual environment as the lock says; at once when nothing changed
	@bin/setup "$(PYTHON)" "$(VENV)" requirements.lock "$(STAMP)"

run: setup ## Start everything here and play the first job (ARGS=--exit stops afterwards)
	@bin/lineshaft run first-job $(ARGS)

test: check ## The same as check

check: setup ## Format, lint, types, layers, tests
	@echo "== format";  $(BIN)/ruff format --check $(wildcard $(SOURCES))
	@echo "== lint";    $(BIN)/ruff check $(wildcard $(SOURCES))
	@echo "== types";   $(BIN)/mypy $(wildcard $(SOURCES))
	@echo "== layers";  $(BIN)/lint-imports
	@echo "== tests";   $(BIN)/pytest -n $(WORKERS) --no-loadscope-reorder $(ARGS)

nightly: setup ## Play plans and the scheduler against their models at length: 10,000 steps, 10,000 sequences
	@$(BIN)/pytest --hypothesis-profile=nightly --timeout 1800 tests/workflows/test_plan_machine.py $(ARGS)
	@$(BIN)/python -m benchmarks.scheduling.machine

format: setup ## Format the sources and sort their imports
	@$(BIN)/ruff check --fix --select I -q $(wildcard $(SOURCES))
	@$(BIN)/ruff format $(wildcard $(SOURCES))

lock: setup ## Resolve the dependencies anew into requirements.lock
	@$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--group dev pyproject.toml -o requirements.lock -q

prove-line: setup ## Measure every promise of the first job: one row each
	@$(BIN)/python -m benchmarks.prove_line $(ARGS)

prove-agents: setup ## Measure every promise about the agents: one row each (ARGS='--only kills,switch')
	@$(BIN)/python -m benchmarks.prove_agents $(ARGS)

prove-gateway: setup ## Measure every promise about the gateway: one row each (ARGS='--only exactness,overspend')
	@$(BIN)/python -m benchmarks.prove_gateway $(ARGS)

prove-machines: setup ## Measure every promise about real machines: one row each (ARGS='--only leases,main-job')
	@bin/engines
	@$(BIN)/python -m benchmarks.prove_machines $(ARGS)

prove-scheduling: setup ## Measure every promise about the scheduler and the twin: one row each (ARGS='--only spot,what-if')
	@$(BIN)/python -m benchmarks.prove_scheduling $(ARGS)

prove-control-plane: setup ## Measure what of the control plane is there: one row each (ARGS='--only rollout,drift')
	@$(BIN)/python -m benchmarks.prove_control_plane $(ARGS)

clean: ## Remove what was built here; your data under LINESHAFT_HOME stay
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find $(wildcard $(SOURCES)) -name __pycache__ -type d -prune -exec rm -rf {} +
