# Two commands do everything from nothing: `make quickstart` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: quickstart test test-slow lint setup clean

quickstart: $(READY)  ## learn DNA and protein tasks on simulated data, and write a report (about 5 minutes)
	$(BIN)/llama-gene quickstart

# One thread a process: the tiny models of the tests only wait for a second one.
test: export OMP_NUM_THREADS = 1
test: lint  ## everything the project promises, in under ten minutes
	$(BIN)/python -m pytest

test-slow: $(READY)  ## the tests that take longer
	$(BIN)/python -m pytest -m slow

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(READY)

$(READY): pyproject.toml constraints.txt CMakeLists.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "llama-gene needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist runs
