# Every target makes its own virtual environment; nothing but python3 and make is needed.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready

.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: $(READY)  ## play a day of traffic through an embedded Postgres and the stand-in of Lago
	$(BIN)/reconcile demo

test: $(READY)  ## run the tests, about 3 minutes on 2 cores
	$(BIN)/pytest -n auto -m 'not proof'

proof: $(READY)  ## run the longer proofs: crashes at every step, concurrency, volume
	$(BIN)/pytest -n auto -m proof

lint: $(READY)  ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)  ## measure against the bare GROUP BY and write docs/benchmarks.md
	$(BIN)/python -m bench

wheel: $(READY)  ## build the wheel into dist/
	$(BIN)/python -m build --wheel

clean:  ## remove what was made
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .bench

.PHONY: help demo test proof lint bench wheel clean
