# Two commands do everything from nothing: `make quickstart` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: quickstart test test-slow lint setup clean

quickstart: $(READY)  ## learn DNA and protein tasks on simulated data, and write a report (about 5 minutes)
	$(BIN)/llama-gene quickstart

# One thread a process: the tiny models of the tests only wait for a second one. The tests of a file share what they make.
WORKERS ?= 2
test: export OMP_NUM_THREADS = 1
test: lint  ## everything the project promises, in under ten minutes, on WORKERS=2 cores
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

test-slow: $(READY)  ## the tests that take longer
	$(BIN)/python -m pytest -m slow

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(READY)

$(READY): pyproject.toml constraints.txt $(wildcard native/*.cpp native/*.h native/CMakeLists.txt)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "llama-gene needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# The native tests need a compiler and no Python. $(SMALL) is the core with small limits: there short texts, too, are
# worked on in parts, on several threads and with a floor. The thread sanitizer excludes the others, so it has its own run.
NATIVE    := build/native
SMALL     := $(NATIVE)/small
SANITIZED := -std=c++17 -O1 -g -Wall -Wextra -fno-sanitize-recover=all -pthread
CORE       = $(1)/trainer.cpp $(1)/encoder.cpp -I$(1)
MEMORY    := -fsanitize=address,undefined
WORLDS    := native/tests/random_worlds.cpp
# Freed memory that is kept back is memory to clear: 16 MB are enough here, and twice as many worlds are seen.
export ASAN_OPTIONS ?= quarantine_size_mb=16
FUZZER    ?= clang++
SECONDS   ?= 60

.PHONY: small-limits sanitize fuzz

small-limits:
	native/tests/small_limits.sh $(CURDIR)/$(SMALL)

sanitize: small-limits  ## the native tests under the address, undefined-behaviour and thread sanitizers (about two minutes)
	$(CXX) $(SANITIZED) $(MEMORY) -o $(NATIVE)/worlds $(WORLDS) $(call CORE,native)
	$(NATIVE)/worlds 15
	$(CXX) $(SANITIZED) $(MEMORY) -o $(NATIVE)/small_worlds $(WORLDS) $(call CORE,$(SMALL))
	$(NATIVE)/small_worlds 20 1
	$(CXX) $(SANITIZED) -fsanitize=thread -o $(NATIVE)/thread_worlds $(WORLDS) $(call CORE,$(SMALL))
	$(NATIVE)/thread_worlds 15 1

# libFuzzer where $(FUZZER) has it (Debian: clang and libclang-rt-dev), else random worlds from a fresh seed. What it
# learned stays in $(NATIVE)/fuzz, and a failing input is printed, and kept beside it.
fuzz: small-limits  ## fuzz the trainer and the encoder, SECONDS=60 each
	mkdir -p $(NATIVE)/fuzz/training $(NATIVE)/fuzz/encoding
	if $(FUZZER) $(SANITIZED) -fsanitize=fuzzer $(MEMORY) -o $(NATIVE)/fuzz_training native/tests/fuzz_training.cpp $(call CORE,$(SMALL)) && \
	   $(FUZZER) $(SANITIZED) -fsanitize=fuzzer $(MEMORY) -o $(NATIVE)/fuzz_encoding native/tests/fuzz_encoding.cpp $(call CORE,$(SMALL)); then \
	  for entry in training encoding; do \
	    $(NATIVE)/fuzz_$$entry -max_total_time=$(SECONDS) -print_final_stats=1 -artifact_prefix=$(NATIVE)/fuzz/$$entry- \
	      $(NATIVE)/fuzz/$$entry || exit 1; \
	  done; \
	else \
	  $(CXX) $(SANITIZED) $(MEMORY) -o $(NATIVE)/small_worlds $(WORLDS) $(call CORE,$(SMALL)) && \
	  $(NATIVE)/small_worlds $$((2 * $(SECONDS))) $$(date +%s)000; \
	fi

# Requests made from the server's own schema, and clients of every kind for minutes: their short forms are in `make test`.
.PHONY: fuzz-serve load-serve

fuzz-serve: $(READY)  ## fuzz the server, EXAMPLES=300 for each route
	LLAMA_GENE_FUZZ_EXAMPLES=$(or $(EXAMPLES),300) $(BIN)/python -m pytest tests/serve/test_fuzz.py

load-serve: $(READY)  ## 64 clients of a new tiny model, MINUTES=10
	$(BIN)/python benchmarks/serving.py load --minutes $(or $(MINUTES),10)

# Nothing is fetched, and a warning is an error; the pages open from the folder, too. The variable silences a
# notice of the theme about its successor (docs/design.md).
.PHONY: docs tutorials

docs: $(READY)  ## the documentation as pages, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --clean

tutorials: $(READY)  ## run the notebooks of docs/tutorials anew, and keep what they print (some minutes)
	$(BIN)/python docsite/tutorials.py

.PHONY: bench bench-check

bench: $(READY)  ## every ratio of the benchmarks, kept under benchmarks/history by version, and a page of all versions
	$(BIN)/python benchmarks/bench.py keep

bench-check: $(READY)  ## the same, not kept: fails where one is more than 20 % worse than the last kept one
	$(BIN)/python benchmarks/bench.py check

# A release: the source distribution and the wheel made of it in dist/, and a new environment with that wheel alone, which
# is what users get. The tools have another one, since some of their pins are their own.
RELEASE := build/release
TOOLS   := $(RELEASE)/tools/bin
USERS   := $(RELEASE)/users
TRACKED  = $(wildcard $(shell git ls-files 2>/dev/null))
ENGINE  ?= $(or $(shell command -v docker || command -v podman),docker)

.PHONY: release release-check audit sbom containers lint-containers

release: $(USERS)/.ready  ## sdist and wheel in dist/, installed into a new environment (some minutes)

$(TOOLS)/.ready: .ci/release-tools.txt
	$(PYTHON) -m venv --clear --upgrade-deps $(RELEASE)/tools
	$(TOOLS)/python -m pip install --quiet --requirement $<
	touch $@

$(USERS)/.ready: $(TOOLS)/.ready $(TRACKED)
	rm -rf dist
	$(TOOLS)/python -m build --outdir dist .
	$(TOOLS)/twine check --strict dist/*
	$(PYTHON) -m venv --clear $(USERS)
	$(USERS)/bin/python -m pip install --quiet --constraint constraints.txt dist/*.whl
	touch $@

release-check: $(READY) lint-containers  ## what is in a release, and that it works outside of this tree
	$(BIN)/python -m pytest -m slow tests/test_release.py

audit: $(TOOLS)/.ready  ## known vulnerabilities of every pin; asks PyPI, and fails where that answers nothing
	$(TOOLS)/pip-audit --strict --disable-pip --no-deps --requirement constraints.txt

sbom: $(USERS)/.ready  ## what an installed llama-gene consists of, as CycloneDX JSON
	$(TOOLS)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON \
	  --output-file dist/llama-gene.cdx.json $(USERS)/bin/python

lint-containers: $(TOOLS)/.ready
	$(TOOLS)/hadolint containers/Dockerfile

containers: $(USERS)/.ready lint-containers  ## llama-gene:cpu and llama-gene:cuda, with docker or podman
	for target in cpu cuda; do \
	  $(ENGINE) build --file containers/Dockerfile --target $$target --tag llama-gene:$$target . || exit 1; \
	done

.PHONY: fuzz-readers

fuzz-readers: $(READY)  ## break files under every reader, SECONDS=60
	OMP_NUM_THREADS=1 $(BIN)/python tests/readers.py $(SECONDS)

# Kills, full disks, damaged and cut files, on purpose: some fifteen minutes. A short form is in `make test`.
.PHONY: torture

torture: $(READY)  ## break the tiny run in every way, and write docs/faults.md
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python -m torture

clean:
	rm -rf $(VENV) build dist runs
