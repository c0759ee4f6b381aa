# Every target makes its own virtual environment; nothing but python3 and make is needed.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEMO = $(VENV)/.demo
DEV = $(VENV)/.dev
INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(DEMO): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[demo]'
	touch $(DEMO)

$(DEV): $(DEMO)
	$(INSTALL) '.[dev]'
	touch $(DEV)

demo: $(DEMO)  ## play a day of traffic through an embedded Postgres and the stand-in of Lago
	$(BIN)/reconcile demo

test: $(DEV)  ## run the tests, about 3 minutes on 2 cores
	$(BIN)/pytest -n 3 -m 'not proof'

proof: $(DEV)  ## run the longer proofs: crashes at every step, concurrency, volume
	$(BIN)/pytest -n auto -m proof

contract: $(DEV)  ## run the contract suite against the Lago of LAGO_CONTRACT_URL
	@test -n "$(LAGO_CONTRACT_URL)" || { echo "Set LAGO_CONTRACT_URL and LAGO_CONTRACT_KEY, see docs/sandbox.md." >&2; exit 2; }
	$(BIN)/pytest tests/contract/test_contract.py

lint: $(DEV)  ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(DEV)  ## measure, against what it could cost at least and LiteLLM's callback; PARTS="delivery senders" for some
	$(BIN)/python -m bench $(PARTS)

wheel: $(DEV)  ## build the wheel into dist/
	$(BIN)/python -m build --wheel

clean:  ## remove what was made
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .bench

.PHONY: help demo test proof contract lint bench wheel clean
