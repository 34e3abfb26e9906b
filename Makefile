# make demo         train a small model on real Rust and show what it learned
# make test         the tests, but for those that are slow, need a GPU, or build the wheel (under ten minutes on two cores)
# make test-all     all tests
# make test-wheel   build the wheel, install it in another environment, and run a recipe from it
# make check        make lint (ruff, spelling, import rules) and make types (no new type errors), in seconds
# make install      create .venv and install everything into it; the targets above do so where it is missing
# make clean        remove .venv and what builds leave
#
# Continuous integration (.github/workflows) runs check, test and test-wheel for every change, test-all every night.

PYTHON ?= python3
RUNS ?= runs
BIN := .venv/bin
INSTALLED := .venv/installed
# Two processes with one thread each: the models of the tests are too small for more threads.
# In the order of their names: by their number of tests the files with few and long ones would all come last.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-all test-wheel check lint types install environment clean

# HF_ALLOW_CODE_EVAL=1: its last stage runs what the model writes, in the sandbox. A demo that is there is continued, so
# that a second call shows its result again; nothing is deleted. Another folder: make demo RUNS=elsewhere
demo: $(INSTALLED)
	HF_ALLOW_CODE_EVAL=1 $(BIN)/accelerate launch --quiet --num_processes 1 --num_machines 1 --mixed_precision no \
		--dynamo_backend no recipes/debug.py --output-dir $(RUNS) $(if $(wildcard $(RUNS)/debug/recipe.json),--resume) \
		--set data.synthetic_samples=300 --set data.variants=0.02

test: $(INSTALLED)
	$(PYTEST) -m "not slow and not gpu and not wheel"

test-all: $(INSTALLED)
	$(PYTEST)

test-wheel: $(INSTALLED)
	$(BIN)/python -m pytest -q -m wheel tests/project

check: lint types

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/python -m pytest -q tests/project/test_imports.py

types: $(INSTALLED)
	$(BIN)/python -m tests.project.type_errors

install: $(INSTALLED)

# --no-compile: most modules of the libraries are never imported. The others are compiled when they are first imported,
# for which Python must be allowed to write what it compiles.
export PYTHONDONTWRITEBYTECODE :=

$(INSTALLED): pyproject.toml | environment
	$(PYTHON) -m venv .venv || { echo "Python's venv module is incomplete: install it (Debian, Ubuntu: apt install python3-venv)."; exit 1; }
	$(BIN)/python -m pip install --quiet --progress-bar on --no-compile --editable ".[dev]"
	touch $@

environment:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || { \
		found=$$($(PYTHON) --version 2>/dev/null); \
		echo "Python 3.11 or newer is needed, found: $${found:-none}. Install it, or name it: make PYTHON=python3.12"; \
		exit 1; }
	@rustc --version 2>/dev/null | $(PYTHON) -c 'import re, sys; \
		found = sys.stdin.read().strip(); version = re.match(r"rustc (\d+)\.(\d+)", found); \
		sys.exit(0 if version and tuple(map(int, version.groups())) >= (1, 89) else \
		"rustc 1.89 or newer is needed, found: " + (found or "none") + ". Install it from https://rustup.rs, or: rustup update stable")'

clean:
	rm -rf .venv build *.egg-info
