# Every target makes its own virtual environment; nothing but python3 and make is needed.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Tests wait for servers, so there are more of them at once than cores; tests/conftest.py says in which order.
PYTEST = $(BIN)/pytest -n 4
DEMO = $(VENV)/.demo
DEV = $(VENV)/.dev
COMPILED = $(VENV)/.compiled
PIP = $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
# uv installs in seconds what pip takes a minute for; where it is not to be had, or can't reach what pip can, pip does it.
UV = $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt
INSTALL = $(PYTHON) -m venv $(VENV) && { $(PIP) uv && $(UV) --editable '.[$(1)]' || $(PIP) --no-compile --editable '.[$(1)]'; }

# What is compiled is kept, whatever the environment says: tests start hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(DEMO): pyproject.toml constraints.txt
	$(call INSTALL,demo)
	touch $(DEMO)

$(DEV): pyproject.toml constraints.txt
	$(call INSTALL,dev)
	touch $(DEMO) $(DEV)

$(COMPILED): $(DEV)
	-$(BIN)/pytest --collect-only --quiet >/dev/null  # compiles what is imported, which each worker would do for itself
	touch $(COMPILED)

demo: $(DEMO)  ## play a day of traffic through an embedded Postgres and the stand-in of Lago
	$(BIN)/reconcile demo

test: $(COMPILED)  ## run the tests, less than 3 minutes on 2 cores; PROOFS=1 for the longer proofs beside them
	$(PYTEST) $(if $(PROOFS),,-m 'not proof')

proof: $(COMPILED)  ## run the longer proofs alone: crashes, concurrency, volume; CRASHES=all for every crash
	$(PYTEST) -m proof

contract: $(DEV)  ## run the contract suite against the Lago of LAGO_CONTRACT_URL
	@test -n "$(LAGO_CONTRACT_URL)" || { echo "Set LAGO_CONTRACT_URL and LAGO_CONTRACT_KEY, see docs/sandbox.md." >&2; exit 2; }
	$(BIN)/pytest tests/contract/test_contract.py

lint: $(DEV)  ## check format, lint, types and which way imports run
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(DEV)  ## measure, against what it could cost at least and LiteLLM's callback; PARTS="delivery senders" for some
	$(BIN)/python -m bench $(PARTS)

wheel: $(DEV)  ## build the wheel into dist/
	$(BIN)/python -m build --wheel

clean:  ## remove what was made
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .bench

.PHONY: help demo test proof contract lint bench wheel clean
