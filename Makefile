# make demo | test | test-slow | lint | docs | bench      (each works on a fresh clone with Python 3.11 or later)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock

.PHONY: demo test test-slow lint docs bench clean

demo: $(VENV)/.runtime
	$(BIN)/monoform demo -o out/demo

test: lint docs
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow"

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m slow

lint: $(VENV)/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/align.py
	$(BIN)/python benchmarks/align_time.py
	$(BIN)/python benchmarks/projection.py
	$(BIN)/python benchmarks/rendering.py
	$(BIN)/python benchmarks/learning.py
	$(BIN)/python benchmarks/tables.py

clean:
	rm -rf $(VENV) site dist

# The stamps let a second call start at once; editing pyproject.toml or the lock file installs again.
$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "monoform needs Python 3.11 or later: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml requirements.lock | $(VENV)/bin/python
	$(PIP_INSTALL) -e .
	touch $@

$(VENV)/.dev: pyproject.toml requirements.lock | $(VENV)/bin/python
	$(PIP_INSTALL) -e ".[dev]"
	touch $@ $(VENV)/.runtime
